import {
  constants,
  createHash,
  generateKeyPairSync,
  privateDecrypt,
  publicEncrypt,
  sign,
  verify,
} from "node:crypto";
import { expect, test } from "vitest";
import { encodePss, pssSaltLength } from "../../src/identity/tpm-key/pss-encoding.ts";

const data = Buffer.from("to be signed");
const rows = [2048, 3072].flatMap((bits) =>
  (["sha256", "sha384", "sha512"] as const).flatMap((hash) => [
    { bits, hash, salt: createHash(hash).digest().length },
    { bits, hash, salt: 0 },
    { bits, hash, salt: 100 },
  ]),
);
const keys = new Map([2048, 3072].map((bits) => [bits, generateKeyPairSync("rsa", { modulusLength: bits })]));
const padding = constants.RSA_PKCS1_PSS_PADDING;

test.each(rows)(
  "OpenSSL takes what was padded with $salt bytes for $hash and $bits bits",
  ({ bits, hash, salt }) => {
    const pair = keys.get(bits);
    if (pair === undefined) throw new Error("no key");
    const digest = createHash(hash).update(data).digest();
    const padded = encodePss(digest, hash, salt, bits);
    // The private operation and nothing else, as a TPM does it.
    const signature = privateDecrypt({ key: pair.privateKey, padding: constants.RSA_NO_PADDING }, padded);
    expect(verify(hash, data, { key: pair.publicKey, padding, saltLength: salt }, signature)).toBe(true);
    expect(verify(hash, data, { key: pair.publicKey, padding, saltLength: salt + 1 }, signature)).toBe(false);
  },
);

test.each(rows)(
  "$salt bytes are found in OpenSSL's padding for $hash and $bits bits",
  ({ bits, hash, salt }) => {
    const pair = keys.get(bits);
    if (pair === undefined) throw new Error("no key");
    const signature = sign(hash, data, { key: pair.privateKey, padding, saltLength: salt });
    const encoded = publicEncrypt({ key: pair.publicKey, padding: constants.RSA_NO_PADDING }, signature);
    const digest = createHash(hash).update(data).digest();
    expect(pssSaltLength(encoded, digest, hash)).toBe(salt);
    digest[0] = (digest[0] ?? 0) ^ 1;
    expect(pssSaltLength(encoded, digest, hash)).toBeUndefined();
  },
);
