import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openTokenTlsKey } from "../../src/identity/pkcs11/open-token-key.ts";
import { readTokenCertificate } from "../../src/identity/pkcs11/token-certificate.ts";
import { Pkcs11Tokens } from "../../src/identity/pkcs11/tokens.ts";
import { createClientCredential, type ClientCredential, type KeyKind } from "./client-credential.ts";
import { selfSigned } from "./device-pki.ts";
import { LoginCounter } from "./login-counter.ts";
import { startMutualTls, type MutualTlsServer } from "./mutual-tls.ts";
import { SoftHsm, softHsmModule } from "./soft-hsm.ts";
import { tokenLocation } from "./token-location.ts";
import { X509Certificate } from "node:crypto";

const device = { label: "device", id: "0a" };
const kinds: readonly KeyKind[] = ["RSA-2048", "RSA-3072", "RSA-4096", "P-256", "P-384", "P-521"];
const credentials = new Map<KeyKind, ClientCredential>();
let server: MutualTlsServer;
let hsm: SoftHsm;
let tokens: Pkcs11Tokens;

beforeAll(async () => {
  for (const kind of kinds) credentials.set(kind, await createClientCredential(kind));
  server = await startMutualTls([...credentials.values()].map(({ certPem }) => certPem));
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});
beforeEach(() => {
  hsm = new SoftHsm();
  tokens = new Pkcs11Tokens();
});
afterEach(() => {
  tokens[Symbol.dispose]();
  hsm[Symbol.dispose]();
});

function credentialOf(kind: KeyKind): ClientCredential {
  const credential = credentials.get(kind);
  if (credential === undefined) throw new Error(`no credential of kind ${kind}`);
  return credential;
}

function pkcs8({ privateKey }: ClientCredential): string {
  return privateKey.export({ type: "pkcs8", format: "pem" }).toString();
}

async function open({ publicKey }: ClientCredential, module: string = softHsmModule) {
  return openTokenTlsKey(tokens, tokenLocation(hsm.uri("id=%0a;type=private", module)), publicKey);
}

describe.each(kinds)("with a key of kind %s in a token", (kind) => {
  test.each(["TLSv1.2", "TLSv1.3"] as const)("a server verifies the client over %s", async (version) => {
    const credential = credentialOf(kind);
    hsm.addKeyPair(pkcs8(credential), device);
    using key = await open(credential);
    expect(Buffer.from(key.publicKey)).toEqual(credential.publicKey);
    const options = { cert: credential.certPem, key: key.tlsKey.reveal() };
    const result = await server.handshake({ ...options, minVersion: version, maxVersion: version });
    expect(result).toEqual({ status: "accepted", commonName: kind, protocol: version });
    expect(key.failure).toBeUndefined();
  });
});

test.each(["RSA+SHA256", "RSA+SHA384", "RSA+SHA512", "RSA-PSS+SHA256", "RSA-PSS+SHA384", "RSA-PSS+SHA512"])(
  "RSA in a token signs as the server wishes: %s",
  async (algorithm) => {
    const credential = credentialOf("RSA-2048");
    hsm.addKeyPair(pkcs8(credential), device);
    using key = await open(credential);
    const options = { cert: credential.certPem, key: key.tlsKey.reveal(), maxVersion: "TLSv1.2" as const };
    const result = await server.handshake({ ...options, sigalgs: `ecdsa_secp256r1_sha256:${algorithm}` });
    expect(result).toMatchObject({ status: "accepted", commonName: "RSA-2048" });
  },
);

test("an EC key without its public half in the token is used by the one in the certificate", async () => {
  const credential = credentialOf("P-256");
  hsm.addPrivateKey(credential.privateKey.export({ type: "sec1", format: "der" }), device);
  using key = await open(credential);
  const result = await server.handshake({ cert: credential.certPem, key: key.tlsKey.reveal() });
  expect(result).toMatchObject({ status: "accepted", commonName: "P-256" });
});

test("a handshake without its token fails with the token's own words", async () => {
  const credential = credentialOf("P-256");
  hsm.addKeyPair(pkcs8(credential), device);
  using key = await open(credential);
  hsm.unplug();
  const result = await server.handshake({ cert: credential.certPem, key: key.tlsKey.reveal() });
  expect(result).toMatchObject({ status: "failed" });
  expect(String(result.status === "failed" && result.error.message)).toMatch(/CKR_OBJECT_HANDLE_INVALID/);
  expect(key.failure).toMatchObject({ code: "identity/token-failed", remedy: "retry" });
});

test("a certificate comes out of its token with the intermediates that lie there, and without the root", async () => {
  const root = await selfSigned("Root");
  const line = await root.issue("Line", { isAuthority: true });
  const leaf = await line.issue("gw-7");
  const stranger = await selfSigned("Stranger");
  for (const [index, { certPem }] of [stranger, root, line].entries()) {
    hsm.addCertificate(new X509Certificate(certPem).raw, { label: "authority", id: `0${index}` });
  }
  hsm.addCertificate(new X509Certificate(leaf.certPem).raw, device);
  const { content, where } = await readTokenCertificate(tokens, tokenLocation(hsm.uri("object=device")));
  const found = content.toString().match(/-----BEGIN[\s\S]+?END CERTIFICATE-----/g) ?? [];
  expect(found.map((pem) => new X509Certificate(pem).subject)).toEqual(["CN=gw-7", "CN=Line"]);
  expect(where).toMatch(/^the token "gateway"/);
});

test("no byte of the key crosses to the process: only digests and signatures do", async () => {
  using counter = new LoginCounter();
  const credential = credentialOf("P-256");
  hsm.addKeyPair(pkcs8(credential), device);
  using key = await open(credential, counter.module);
  const result = await server.handshake({ cert: credential.certPem, key: key.tlsKey.reveal() });
  expect(result.status).toBe("accepted");
  const calls = counter.calls();
  expect(calls).toMatch(/: C_Sign\n/);
  const shown = calls.replaceAll(/[^0-9a-f]/gi, "").toLowerCase();
  const { d = "", x = "" } = credential.privateKey.export({ format: "jwk" });
  expect(shown).toContain(hex(x).slice(0, 16));
  expect(shown).not.toContain(hex(d).slice(0, 16));
});

function hex(base64url: string): string {
  return Buffer.from(base64url, "base64url").toString("hex");
}
