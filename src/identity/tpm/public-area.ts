import { createHash } from "node:crypto";

/** The public half of a key in a TPM. */
export interface TpmPublic {
  /** TPM2B_PUBLIC as it is on the wire: two bytes of length, then the area. */
  readonly bytes: Buffer;
  readonly type: "rsa" | "ecc" | "keyed-hash" | "symmetric" | "unknown";
  /** `0x000B` is SHA-256. */
  readonly nameAlgorithm: number;
  /** TPMA_OBJECT. */
  readonly attributes: number;
  /** What the TPM knows the key by, with SHA-256: the algorithm and the digest of the area (Part 1, 16). */
  readonly name: Buffer;
}

const types: Readonly<Record<number, TpmPublic["type"]>> = {
  0x0001: "rsa",
  0x0008: "keyed-hash",
  0x0023: "ecc",
  0x0025: "symmetric",
};
export const sha256Algorithm = 0x000b;

/** TPMA_OBJECT (Part 2, 8.3): a parent of other keys is restricted to decrypting. */
export const restricted = 0x0001_0000;
export const decrypt = 0x0002_0000;

/** Reads TPM2B_PUBLIC as far as every kind of key has it (Part 2, 12.2.4). @returns undefined where it is none. */
export function parsePublicArea(bytes: Buffer): TpmPublic | undefined {
  if (bytes.length < 10 || bytes.readUInt16BE(0) !== bytes.length - 2) return undefined;
  const area = bytes.subarray(2);
  const nameAlgorithm = area.readUInt16BE(2);
  return {
    bytes,
    type: types[area.readUInt16BE(0)] ?? "unknown",
    nameAlgorithm,
    attributes: area.readUInt32BE(4),
    name: Buffer.concat([area.subarray(2, 4), createHash("sha256").update(area).digest()]),
  };
}
