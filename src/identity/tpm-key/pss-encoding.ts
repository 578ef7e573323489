import { createHash, randomBytes } from "node:crypto";
import type { Hash } from "../tls-signer/sign-request.ts";

/*
 * The padding of RSA-PSS, RFC 8017 section 9.1, with MGF1 on the same hash.
 */

/** The encoding has a bit less than the modulus; those of TPMs fill whole bytes, so the first bit of the first byte is it. */
const firstBits = 0x7f;

/**
 * Encodes a digest so that the private operation on it is the signature.
 * @param saltLength bytes; what fits was decided when the signature was asked for.
 * @param modulusBits a multiple of 8.
 * @returns as many bytes as the modulus.
 */
export function encodePss(digest: Uint8Array, hash: Hash, saltLength: number, modulusBits: number): Buffer {
  const salt = randomBytes(saltLength);
  const seal = sealOf(digest, salt, hash);
  const data = Buffer.concat([
    Buffer.alloc(modulusBits / 8 - seal.length - saltLength - 2),
    Buffer.of(separator),
    salt,
  ]);
  const masked = mask(data, seal, hash);
  masked[0] = (masked[0] ?? 0) & firstBits;
  return Buffer.concat([masked, seal, Buffer.of(trailer)]);
}

/**
 * How long the salt is in an encoding that somebody else has made.
 * @param encoded what the public operation makes of a signature.
 * @returns undefined where it is no encoding of this digest.
 */
export function pssSaltLength(encoded: Uint8Array, digest: Uint8Array, hash: Hash): number | undefined {
  const end = encoded.length - digest.length - 1;
  const seal = encoded.subarray(end, -1);
  const data = mask(encoded.subarray(0, end), seal, hash);
  data[0] = (data[0] ?? 0) & firstBits;
  const start = data.findIndex((byte) => byte !== 0);
  if (encoded.at(-1) !== trailer || data[start] !== separator) return undefined;
  const salt = data.subarray(start + 1);
  return sealOf(digest, salt, hash).equals(seal) ? salt.length : undefined;
}

const separator = 0x01;
const trailer = 0xbc;

function sealOf(digest: Uint8Array, salt: Uint8Array, hash: Hash): Buffer {
  return createHash(hash).update(Buffer.alloc(8)).update(digest).update(salt).digest();
}

/** Section B.2.1: lays a stream of digests of the seed over the data. */
function mask(data: Uint8Array, seed: Uint8Array, hash: Hash): Buffer {
  const masked = Buffer.from(data);
  const counter = Buffer.alloc(4);
  for (let at = 0, block = 0; at < masked.length; block += 1) {
    counter.writeUInt32BE(block);
    for (const byte of createHash(hash).update(seed).update(counter).digest()) {
      if (at === masked.length) break;
      masked[at] = (masked[at] ?? 0) ^ byte;
      at += 1;
    }
  }
  return masked;
}
