import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { once } from "node:events";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { SignDigest } from "../../src/identity/tls-signer/sign-request.ts";
import { registerTlsKey, type TlsKey } from "../../src/identity/tls-signer/tls-signer.ts";
import { AgentError } from "../../src/platform/failure.ts";
import { createClientCredential, type ClientCredential } from "./client-credential.ts";
import { startMutualTls, type Handshake, type MutualTlsServer } from "./mutual-tls.ts";
import { softwareSigner } from "./software-signer.ts";

let ec: ClientCredential;
let rsa: ClientCredential;
let server: MutualTlsServer;
beforeAll(async () => {
  ec = await createClientCredential("P-256");
  rsa = await createClientCredential("RSA-2048");
  server = await startMutualTls([ec.certPem, rsa.certPem]);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const versions = ["TLSv1.2", "TLSv1.3"] as const;

async function handshake(
  credential: ClientCredential,
  key: TlsKey,
  version: (typeof versions)[number] = "TLSv1.3",
): Promise<Handshake> {
  const options = { cert: credential.certPem, minVersion: version, maxVersion: version };
  return server.handshake({ ...options, ...key.tlsOptions });
}

const tokenGone = new AgentError(
  "identity/token-lost",
  "reidentify",
  "CKR_DEVICE_REMOVED: the token is gone",
);
const refuse: SignDigest = () => {
  throw tokenGone;
};

describe.each(versions)("over %s", (version) => {
  test("what the signer throws ends the handshake, and is found in the error and in the key", async () => {
    using key = registerTlsKey(ec.publicKey, refuse);
    const result = await handshake(ec, key, version);
    expect(result).toMatchObject({ status: "failed", error: { code: "ERR_SSL_SIGNER_REFUSED" } });
    expect(result.status === "failed" && result.error.message).toContain(
      "CKR_DEVICE_REMOVED: the token is gone",
    );
    expect(key.failure).toBe(tokenGone);
  });

  test.each(["RSA-2048", "P-256"])("a wrong signature by %s is found by the server", async (kind) => {
    const credential = kind === "P-256" ? ec : rsa;
    const right = softwareSigner(credential.privateKey);
    using key = registerTlsKey(credential.publicKey, (request) => {
      const signature = right(request);
      signature[signature.length - 1] = (signature.at(-1) ?? 0) ^ 1;
      return signature;
    });
    const result = await handshake(credential, key, version);
    expect(result).toMatchObject({
      status: "failed",
      error: { code: "ERR_SSL_TLSV1_ALERT_DECRYPT_ERROR" },
    });
    expect(key.failure).toBeUndefined();
  });
});

test.each([
  ["no bytes", new Uint8Array()],
  ["one byte less", new Uint8Array(63)],
  ["far too many bytes", new Uint8Array(100_000)],
])("an answer of %s is no signature", async (_, answer) => {
  using key = registerTlsKey(ec.publicKey, () => answer);
  const result = await handshake(ec, key);
  expect(result).toMatchObject({ status: "failed", error: { code: "ERR_SSL_SIGNER_REFUSED" } });
  expect(key.failure).toMatchObject({ code: "identity/tls-signature-malformed" });
});

test.each([
  ["zeros", 0],
  ["ones, which is more than the curve's order", 0xff],
])("r and s of nothing but %s do no harm", async (_, byte) => {
  const p521 = await createClientCredential("P-521");
  using key = registerTlsKey(p521.publicKey, () => new Uint8Array(132).fill(byte));
  expect(await handshake(p521, key)).toMatchObject({ status: "failed" });
});

test("the key works again once the signer does, and forgets the failure", async () => {
  const working = softwareSigner(ec.privateKey);
  let signDigest = refuse;
  using key = registerTlsKey(ec.publicKey, (request) => signDigest(request));
  expect(await handshake(ec, key)).toMatchObject({ status: "failed" });
  signDigest = working;
  expect(await handshake(ec, key)).toMatchObject({ status: "accepted" });
  expect(key.failure).toBeUndefined();
});

test("a disposed key opens no new connection", async () => {
  const key = registerTlsKey(ec.publicKey, softwareSigner(ec.privateKey));
  key[Symbol.dispose]();
  key[Symbol.dispose]();
  await expect(handshake(ec, key)).rejects.toThrow("unsupported");
});

test("a key disposed while OpenSSL holds it refuses", () => {
  const key = registerTlsKey(ec.publicKey, softwareSigner(ec.privateKey));
  const held = createPrivateKey(key.tlsOptions.key);
  expect(sign("sha256", Buffer.from("before"), held)).toBeInstanceOf(Buffer);
  key[Symbol.dispose]();
  expect(() => sign("sha256", Buffer.from("after"), held)).toThrow("signer refused");
});

test("a key disposed by its own signer still answers that one request", async () => {
  const working = softwareSigner(ec.privateKey);
  const key: TlsKey = registerTlsKey(ec.publicKey, (request) => {
    key[Symbol.dispose]();
    return working(request);
  });
  expect(await handshake(ec, key)).toMatchObject({ status: "accepted" });
});

test("the key has no private half to export", () => {
  using key = registerTlsKey(ec.publicKey, softwareSigner(ec.privateKey));
  const held = createPrivateKey(key.tlsOptions.key);
  expect(() => held.export({ type: "pkcs8", format: "der" })).toThrow("encode");
  const publicKey = createPublicKey(held).export({ type: "spki", format: "der" });
  expect(publicKey.equals(ec.publicKey)).toBe(true);
});

const unsupported = {
  "RSA-1024": generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey,
  "RSA-8192's size": generateKeyPairSync("rsa", { modulusLength: 4104 }).publicKey,
  secp256k1: generateKeyPairSync("ec", { namedCurve: "secp256k1" }).publicKey,
  Ed25519: generateKeyPairSync("ed25519").publicKey,
};
test.each(Object.entries(unsupported))("a key of kind %s is refused at once", (_, publicKey) => {
  const spki = publicKey.export({ type: "spki", format: "der" });
  expect(() => registerTlsKey(spki, refuse)).toThrow(
    expect.objectContaining({ code: "identity/tls-key-unsupported" }),
  );
});

test("bytes that are no public key are refused at once", () => {
  expect(() => registerTlsKey(ec.publicKey.subarray(1), refuse)).toThrow(
    expect.objectContaining({ code: "identity/tls-key-unsupported" }),
  );
});

test("a thread of the pool cannot sign", async () => {
  using key = registerTlsKey(ec.publicKey, softwareSigner(ec.privateKey));
  const signInPool = promisify(sign);
  await expect(signInPool("sha256", Buffer.from("message"), key.tlsOptions.key)).rejects.toThrow(
    "signer refused",
  );
});

test("a worker can neither register a key nor sign with one of the main thread's", async () => {
  using key = registerTlsKey(ec.publicKey, softwareSigner(ec.privateKey));
  const worker = new Worker(new URL("worker-without-keys.ts", import.meta.url), {
    argv: [ec.publicKey.toString("base64"), key.tlsOptions.key],
    execArgv: [],
  });
  const report: unknown[] = await once(worker, "message");
  await once(worker, "exit");
  expect(report).toEqual([
    { register: "identity/tls-signer-thread", sign: "error:40800001:latebind-tls-signer::signer refused" },
  ]);
  expect(await handshake(ec, key)).toMatchObject({ status: "accepted" });
});
