import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { SignRequest } from "../../src/identity/tls-signer/sign-request.ts";
import { registerTlsKey, type TlsKey } from "../../src/identity/tls-signer/tls-signer.ts";
import { createClientCredential, type ClientCredential, type KeyKind } from "./client-credential.ts";
import { startMutualTls, type MutualTlsServer } from "./mutual-tls.ts";
import { softwareSigner } from "./software-signer.ts";

const kinds: readonly KeyKind[] = ["RSA-2048", "RSA-3072", "RSA-4096", "P-256", "P-384", "P-521"];
const credentials = new Map<KeyKind, ClientCredential>();
let server: MutualTlsServer;

beforeAll(async () => {
  for (const kind of kinds) credentials.set(kind, await createClientCredential(kind));
  server = await startMutualTls([...credentials.values()].map(({ certPem }) => certPem));
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

/** A key whose requests can be looked at afterwards. */
function register(kind: KeyKind) {
  const credential = credentials.get(kind);
  if (credential === undefined) throw new Error(`no credential of kind ${kind}`);
  const requests: SignRequest[] = [];
  const sign = softwareSigner(credential.privateKey);
  const key: TlsKey = registerTlsKey(credential.publicKey, (request) => {
    requests.push(request);
    return sign(request);
  });
  return {
    requests,
    options: { cert: credential.certPem, ...key.tlsOptions },
    [Symbol.dispose]: () => {
      key[Symbol.dispose]();
    },
  };
}

describe.each(kinds)("with a key of kind %s", (kind) => {
  test.each(["TLSv1.2", "TLSv1.3"] as const)("a server verifies the client over %s", async (version) => {
    using client = register(kind);
    const options = { ...client.options, minVersion: version, maxVersion: version };
    const result = await server.handshake(options);
    expect(result).toEqual({ status: "accepted", commonName: kind, protocol: version });
    expect(client.requests).toHaveLength(1);
  });
});

describe.each(["RSA-2048", "RSA-3072"] as const)("with %s, the server's wish decides on", (kind) => {
  const wishes = [
    ["RSA+SHA256", { scheme: "rsa-pkcs1", hash: "sha256" }],
    ["RSA+SHA384", { scheme: "rsa-pkcs1", hash: "sha384" }],
    ["RSA+SHA512", { scheme: "rsa-pkcs1", hash: "sha512" }],
    ["RSA-PSS+SHA256", { scheme: "rsa-pss", hash: "sha256", saltLength: 32 }],
    ["RSA-PSS+SHA384", { scheme: "rsa-pss", hash: "sha384", saltLength: 48 }],
    ["RSA-PSS+SHA512", { scheme: "rsa-pss", hash: "sha512", saltLength: 64 }],
  ] as const;
  test.each(wishes)("%s", async (algorithm, expected) => {
    using client = register(kind);
    const sigalgs = `ecdsa_secp256r1_sha256:${algorithm}`;
    const result = await server.handshake({ ...client.options, sigalgs, maxVersion: "TLSv1.2" });
    expect(result).toMatchObject({ status: "accepted", commonName: kind });
    expect(client.requests).toEqual([expect.objectContaining(expected)]);
  });
});

test("a key from a file works beside it", async () => {
  using client = register("P-256");
  const credential = credentials.get("RSA-2048");
  const key = credential?.privateKey.export({ type: "pkcs8", format: "pem" }) ?? "";
  const result = await server.handshake({ cert: credential?.certPem ?? "", key });
  expect(result).toMatchObject({ status: "accepted", commonName: "RSA-2048" });
  expect(client.requests).toEqual([]);
});

test("two keys sign side by side, each with its own function", async () => {
  using rsa = register("RSA-2048");
  using ec = register("P-256");
  const results = await Promise.all([server.handshake(rsa.options), server.handshake(ec.options)]);
  expect(results).toMatchObject([{ commonName: "RSA-2048" }, { commonName: "P-256" }]);
  expect([rsa.requests.length, ec.requests.length]).toEqual([1, 1]);
});
