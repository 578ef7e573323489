import { createHash, createPublicKey, type KeyObject } from "node:crypto";

/** An RSA storage key of a TPM as its public area tells it: an endorsement key or a storage root key. */
export interface TpmStorageKey {
  readonly publicKey: KeyObject;
  /** Algorithm and digest of the public area: how a TPM names an object (TPM 2.0 Part 1, 16). */
  readonly name: Buffer;
}

const rsa = 0x0001;
const aes = 0x0006;
const sha256 = 0x000b;
const none = 0x0010;
const cfb = 0x0043;
/** Restricted and decrypt, not sign: what protects other keys (TPM 2.0 Part 2, 8.3). */
const storageBits = 0x0003_0000;
const signBit = 0x0004_0000;

/**
 * Reads a TPM2B_PUBLIC, size prefix included, of an RSA-2048 key with SHA-256 names that protects with AES-128-CFB: the
 * only kind DPS is known to take (TPM 2.0 Part 2, 12.2.4 and 12.2.5).
 * @returns undefined for anything else.
 */
export function parseTpmPublic(bytes: Buffer): TpmStorageKey | undefined {
  try {
    return readPublic(bytes);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function readPublic(bytes: Buffer): TpmStorageKey | undefined {
  const reader = new Reader(bytes);
  if (reader.uint16() !== bytes.length - 2) return undefined;
  if (reader.uint16() !== rsa || reader.uint16() !== sha256) return undefined;
  const attributes = reader.uint32();
  if ((attributes & storageBits) !== storageBits || (attributes & signBit) !== 0) return undefined;
  reader.sized();
  const [algorithm, keyBits, mode, scheme, modulusBits] = [
    reader.uint16(),
    reader.uint16(),
    reader.uint16(),
    reader.uint16(),
    reader.uint16(),
  ];
  if (algorithm !== aes || keyBits !== 128 || mode !== cfb || scheme !== none) return undefined;
  const exponent = reader.uint32();
  const modulus = reader.sized();
  if (modulusBits !== 2048 || modulus.length !== 256 || !reader.isAtEnd) return undefined;
  const publicArea = bytes.subarray(2);
  const digest = createHash("sha256").update(publicArea).digest();
  return {
    publicKey: rsaKey(modulus, exponent === 0 ? 65_537 : exponent),
    name: Buffer.concat([Buffer.from([0, sha256]), digest]),
  };
}

function rsaKey(modulus: Buffer, exponent: number): KeyObject {
  const e = Buffer.alloc(4);
  e.writeUInt32BE(exponent);
  const leadingZeros = e.findIndex((octet) => octet !== 0);
  const key = {
    kty: "RSA",
    n: modulus.toString("base64url"),
    e: e.subarray(leadingZeros).toString("base64url"),
  };
  return createPublicKey({ key, format: "jwk" });
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  uint16(): number {
    this.#at += 2;
    return this.#bytes.readUInt16BE(this.#at - 2);
  }

  uint32(): number {
    this.#at += 4;
    return this.#bytes.readUInt32BE(this.#at - 4);
  }

  /** A TPM2B: two octets of length, then so many. */
  sized(): Buffer {
    const length = this.uint16();
    if (this.#at + length > this.#bytes.length) throw new RangeError("a length points behind the end");
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}
