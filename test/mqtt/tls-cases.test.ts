import { beforeAll, describe, expect, test } from "vitest";
import type { ClientCertificate } from "../../src/identity/identity.ts";
import { openMqttLink } from "../../src/mqtt/mqtt-js-link.ts";
import type { LinkOptions } from "../../src/mqtt/link.ts";
import { Secret } from "../../src/platform/secret.ts";
import { createAuthority, type CertificateAuthority, type ServerCredentials } from "../cloud/certificates.ts";
import { failureOf } from "../failure-of.ts";
import { selfSigned, type Credential } from "../identity/device-pki.ts";
import { OpensslServer } from "./openssl-server.ts";

const never = new AbortController().signal;
const day = 24 * 60 * 60_000;
const versions = [
  ["TLS 1.2", "-tls1_2"],
  ["TLS 1.3", "-tls1_3"],
] as const;

let authority: CertificateAuthority;
let good: ServerCredentials;
let factory: Credential;

beforeAll(async () => {
  authority = await createAuthority("TLS cases");
  good = await authority.issueServer("127.0.0.1", ["server.test"]);
  factory = await selfSigned("Factory");
});

function to(server: OpensslServer, more: Partial<LinkOptions> = {}): LinkOptions {
  return {
    host: server.host,
    port: server.port,
    trustedRoots: authority.caPem,
    clientId: "gw-1",
    username: "user",
    cleanSession: true,
    keepAliveMs: 60_000,
    connectTimeoutMs: 5_000,
    onMessage: () => {},
    ...more,
  };
}

function shown({ chainPem, keyPem }: Credential): { readonly clientCertificate: ClientCertificate } {
  return { clientCertificate: { chain: chainPem, key: { tlsKey: new Secret(keyPem), failure: undefined } } };
}

async function issue(name: string, from: number, until: number): Promise<ServerCredentials> {
  const [notBefore, notAfter] = [from, until].map((offset) => new Date(Date.now() + offset));
  return authority.issueServer(name, ["server.test"], notBefore, notAfter);
}

describe.each(versions)("case 39, over %s:", (_, version) => {
  test("the positive control is accepted, with a certificate of the device and without", async () => {
    await using open = await OpensslServer.listen(good, [version]);
    const anonymous = await openMqttLink(to(open), never);
    expect(anonymous.status).toBe("open");
    if (anonymous.status === "open") await anonymous.link[Symbol.asyncDispose]();
    await using strict = await OpensslServer.listen(good, [version], factory.certPem);
    const known = await openMqttLink(to(strict, shown(await factory.issue("gw-1"))), never);
    expect(known.status).toBe("open");
    if (known.status === "open") await known.link[Symbol.asyncDispose]();
  });

  test.each([
    ["row 11: expired", -2 * day, -day, "mqtt/tls-validity"],
    ["row 11: not yet valid", day, 2 * day, "mqtt/tls-validity"],
  ])("a server whose certificate is %s", async (_what, from, until, code) => {
    await using server = await OpensslServer.listen(await issue("127.0.0.1", from, until), [version]);
    expect(await failureOf(openMqttLink(to(server), never))).toMatchObject({ code, remedy: "operator" });
  });

  test("row 12: a server whose authority is not trusted", async () => {
    const stranger = await createAuthority("stranger");
    const credentials = await stranger.issueServer("127.0.0.1", ["server.test"]);
    await using server = await OpensslServer.listen(credentials, [version]);
    expect(await failureOf(openMqttLink(to(server), never))).toMatchObject({
      code: "mqtt/tls-untrusted",
      remedy: "operator",
    });
  });

  test("row 13: a server with another name", async () => {
    await using server = await OpensslServer.listen(await issue("127.9.9.9", -day, day), [version]);
    expect(await failureOf(openMqttLink(to(server), never))).toMatchObject({
      code: "mqtt/tls-wrong-name",
      remedy: "operator",
    });
  });

  test("row 14: a server without a common cipher", async () => {
    const cipher =
      version === "-tls1_2"
        ? ["-cipher", "ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0"]
        : ["-ciphersuites", "TLS_AES_128_CCM_8_SHA256"];
    await using server = await OpensslServer.listen(good, [version, ...cipher]);
    expect(await failureOf(openMqttLink(to(server), never))).toMatchObject({
      code: "mqtt/tls-incompatible",
      remedy: "operator",
    });
  });

  test("row 15: a server that wants a certificate from a device without one", async () => {
    await using server = await OpensslServer.listen(good, [version], factory.certPem);
    const error = await failureOf(openMqttLink(to(server), never));
    // TLS 1.2 has no alert of its own for that (RFC 5246 section 7.4.6).
    expect(error).toMatchObject({
      code: version === "-tls1_2" ? "mqtt/tls-incompatible" : "mqtt/certificate-refused",
      remedy: "operator",
    });
    expect(error.message).toMatch(/wants a client certificate/);
  });

  test.each([
    ["has expired", async () => factory.issue("gw-1", { toDays: -1 }), /has expired by its clock/],
    ["is from a stranger", async () => selfSigned("gw-1"), /does not know the authority/],
  ])("row 15: a server that finds that the device's certificate %s", async (_what, make, says) => {
    await using server = await OpensslServer.listen(good, [version], factory.certPem);
    const error = await failureOf(openMqttLink(to(server, shown(await make())), never));
    expect(error).toMatchObject({ code: "mqtt/certificate-refused", remedy: "operator" });
    expect(error.message).toMatch(says);
  });
});

test("case 39, row 14: a server that knows TLS 1.1 at most", async () => {
  await using server = await OpensslServer.listen(good, ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]);
  const error = await failureOf(openMqttLink(to(server), never));
  expect(error).toMatchObject({ code: "mqtt/tls-incompatible", remedy: "operator" });
  expect(error.message).toMatch(/TLS 1\.2 or later is needed/);
});
