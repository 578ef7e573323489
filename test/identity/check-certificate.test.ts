import { createPublicKey } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import { chainExpiresAtMs, chainPem, parseCertificates } from "../../src/identity/certificate.ts";
import { certificateWarnings, checkCertificate } from "../../src/identity/check-certificate.ts";
import { AgentError } from "../../src/platform/failure.ts";
import { selfSigned, type Credential, type KeyKind } from "./device-pki.ts";

const dayMs = 86_400_000;

let factory: Credential;
let line: Credential;
let device: Credential;

beforeAll(async () => {
  const root = await selfSigned("Root");
  factory = await root.issue("Factory", { isAuthority: true });
  line = await factory.issue("Line", { isAuthority: true });
  device = await line.issue("gw-7");
});

interface Case {
  readonly pem: string;
  readonly key?: Credential;
  readonly registrationId?: string;
  readonly nowMs?: number;
}

/** What the agent says of these certificates and this key; undefined where it is content. */
function verdict({ pem, key = device, registrationId, nowMs = Date.now() }: Case): AgentError | undefined {
  const publicKey = createPublicKey(key.key).export({ type: "spki", format: "der" });
  try {
    const chain = parseCertificates({ content: Buffer.from(pem), where: "device.pem" });
    checkCertificate(chain, { publicKey, nowMs, ...(registrationId !== undefined && { registrationId }) });
    return undefined;
  } catch (error) {
    if (error instanceof AgentError) return error;
    throw error;
  }
}

describe("what cannot be used is found at once", () => {
  test("another key than the certificate's", async () => {
    const error = verdict({ pem: device.chainPem, key: await selfSigned("gw-7") });
    expect(error).toMatchObject({ code: "identity/certificate-key-mismatch", remedy: "operator" });
    expect(error?.message).toBe(
      'the certificate in device.pem cannot be used: the private key is not the one of "CN=gw-7". ' +
        "Put the key and the certificate there that were made together",
    );
  });

  test("the device's certificate after the authority's", () => {
    const error = verdict({ pem: line.certPem + device.certPem });
    expect(error).toMatchObject({ code: "identity/certificate-order" });
    expect(error?.message).toContain("the private key fits certificate 2, so that one has to stand first");
  });

  test("intermediates in the wrong order", () => {
    const error = verdict({ pem: device.certPem + factory.certPem + line.certPem });
    expect(error).toMatchObject({ code: "identity/certificate-order" });
    expect(error?.message).toContain("certificate 3 issued certificate 1 and has to follow it");
  });

  test("an intermediate that is missing in between, by its name", () => {
    const error = verdict({ pem: device.certPem + factory.certPem });
    expect(error).toMatchObject({ code: "identity/certificate-chain-gap" });
    expect(error?.message).toContain(
      'the intermediate "CN=Line", which issued "CN=gw-7", is missing between certificates 1 and 2',
    );
  });

  test("an impostor with the name of the authority", async () => {
    const impostor = await (await selfSigned("Root")).issue("Line", { isAuthority: true });
    expect(verdict({ pem: device.certPem + impostor.certPem })).toMatchObject({
      code: "identity/certificate-chain-gap",
    });
  });

  test("a common name that is not the configured registration ID", () => {
    const error = verdict({ pem: device.chainPem, registrationId: "gw-8" });
    expect(error).toMatchObject({ code: "identity/certificate-name" });
    expect(error?.message).toContain('its common name is "gw-7", but registration_id is "gw-8"');
  });

  test.each(["O=Plant 7", "CN=gw-7,CN=gw-8"])(
    "the subject %s, which has not one common name",
    async (subject) => {
      const odd = await line.issue("", { subject });
      expect(verdict({ pem: odd.chainPem, key: odd })).toMatchObject({ code: "identity/certificate-name" });
    },
  );

  test("a certificate before its time and after it, with the date of the clock", () => {
    const late = verdict({ pem: device.chainPem, nowMs: Date.now() + 366 * dayMs });
    expect(late).toMatchObject({ code: "identity/certificate-expired" });
    expect(late?.message).toMatch(/"CN=gw-7" expired on \d{4}-\d\d-\d\d, and the clock says \d{4}-\d\d-\d\d/);
    const early = verdict({ pem: device.chainPem, nowMs: 0 });
    expect(early).toMatchObject({ code: "identity/certificate-not-yet-valid" });
    expect(early?.message).toContain("the clock says 1970-01-01. Set the clock first");
  });

  test("an intermediate that has expired under a device's certificate that has not", async () => {
    const oldLine = await factory.issue("Old line", { isAuthority: true, toDays: -1 });
    const under = await oldLine.issue("gw-7");
    const error = verdict({ pem: under.chainPem, key: under });
    expect(error).toMatchObject({ code: "identity/certificate-expired" });
    expect(error?.message).toContain('"CN=Old line" expired');
  });

  test.each<[KeyKind, string]>([
    ["RSA-1024", "RSA of 1024 bits"],
    ["P-521", "EC on secp521r1"],
  ])("a key of the kind %s", async (kind, words) => {
    const odd = await line.issue("gw-7", { kind });
    const error = verdict({ pem: odd.chainPem, key: odd });
    expect(error).toMatchObject({ code: "identity/certificate-key-unsupported" });
    expect(error?.message).toContain(`its key is ${words}, which Azure does not take`);
  });

  test("everything at once, in one message", async () => {
    const error = verdict({
      pem: device.certPem + factory.certPem,
      key: await selfSigned("gw-7"),
      registrationId: "gw-8",
      nowMs: 0,
    });
    for (const words of ["private key is not", 'registration_id is "gw-8"', "holds only from", "is missing"])
      expect(error?.message).toContain(words);
  });

  test.each([
    ["nothing", "", "holds no certificate"],
    ["text", "hello", "holds no certificate"],
    [
      "a private key",
      "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
      "holds no certificate",
    ],
    ["a damaged block", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "is damaged"],
  ])("%s in place of a certificate", (_, pem, words) => {
    const error = verdict({ pem });
    expect(error).toMatchObject({ code: "identity/certificate-malformed", remedy: "operator" });
    expect(error?.message).toContain(words);
  });
});

describe("what can be used", () => {
  test.each<KeyKind>(["RSA-2048", "RSA-3072", "P-256", "P-384"])("is %s", async (kind) => {
    const good = await line.issue("gw-7", { kind });
    expect(verdict({ pem: good.chainPem, key: good })).toBeUndefined();
  });

  test("is a leaf alone, a leaf with its chain, a chain with its root, and a self-signed certificate", async () => {
    const root = await selfSigned("Other root");
    const below = await root.issue("gw-7");
    const alone = await selfSigned("gw-7");
    expect(verdict({ pem: device.certPem })).toBeUndefined();
    expect(verdict({ pem: device.chainPem })).toBeUndefined();
    expect(verdict({ pem: below.chainPem + root.certPem, key: below })).toBeUndefined();
    expect(verdict({ pem: alone.certPem, key: alone })).toBeUndefined();
  });

  test("is a common name that differs from the registration ID in case only, as at DPS", () => {
    expect(verdict({ pem: device.chainPem, registrationId: "GW-7" })).toBeUndefined();
  });

  test("is a file with words around its blocks, and DER", () => {
    const pem = `subject=CN = gw-7\n${device.certPem}\nissuer=CN = Line\n${line.certPem}`;
    const chain = parseCertificates({ content: Buffer.from(pem), where: "device.pem" });
    expect(chainPem(chain).match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    const der = parseCertificates({ content: chain.leaf.raw, where: "token" });
    expect(der.leaf.fingerprint256).toBe(chain.leaf.fingerprint256);
  });
});

function warningsOf({ chainPem: pem }: Credential): readonly string[] {
  return certificateWarnings(
    parseCertificates({ content: Buffer.from(pem), where: "device.pem" }),
    Date.now(),
  );
}

describe("what deserves attention", () => {
  test("is a certificate that ends within 30 days, be it the intermediate's", async () => {
    expect(warningsOf(await line.issue("gw-7", { toDays: 31 }))).toEqual([]);
    expect(warningsOf(await line.issue("gw-7", { toDays: 29 }))).toEqual([
      expect.stringMatching(/^the certificate in device\.pem expires on \d{4}-\d\d-\d\d: renew it$/),
    ]);
    const ending = await factory.issue("Ending", { isAuthority: true, toDays: 2 });
    const below = await ending.issue("gw-7");
    expect(warningsOf(below)).toHaveLength(1);
    const chain = parseCertificates({ content: Buffer.from(below.chainPem), where: "device.pem" });
    expect(Math.round((chainExpiresAtMs(chain) - Date.now()) / dayMs)).toBe(2);
  });

  test("is a certificate that was made for servers only", async () => {
    const [server, client] = ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"];
    expect(warningsOf(await line.issue("gw-7", { uses: [server] }))).toEqual([
      "the certificate in device.pem is not made for TLS client authentication (clientAuth)",
    ]);
    expect(warningsOf(await line.issue("gw-7", { uses: [server, client] }))).toEqual([]);
    expect(warningsOf(device)).toEqual([]);
  });
});
