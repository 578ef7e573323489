import type { Hash } from "./sign-request.ts";

/** Wraps a digest as PKCS#1 v1.5 signs it, without the padding around (RFC 8017 section 9.2, note 1). */
export function digestInfo(hash: Hash, digest: Uint8Array): Buffer {
  return Buffer.concat([prefixes[hash], digest]);
}

const prefixes: Readonly<Record<Hash, Buffer>> = {
  sha256: Buffer.from("3031300d060960864801650304020105000420", "hex"),
  sha384: Buffer.from("3041300d060960864801650304020205000430", "hex"),
  sha512: Buffer.from("3051300d060960864801650304020305000440", "hex"),
};
