import { createPublicKey, type JsonWebKey, type KeyObject } from "node:crypto";

/** What the public area of a key in a TPM says of its use for signing. */
export interface SigningKey {
  readonly publicKey: KeyObject;
  /** TPMA_OBJECT, as far as it matters here. */
  readonly canSign: boolean;
  readonly canDecrypt: boolean;
  /** Signs nothing that comes from outside. */
  readonly isRestricted: boolean;
  /** Whether wrong authorization values, or power cuts while it is in use, count towards a lockout of the TPM. */
  readonly isLockoutProtected: boolean;
  /** Whether it was made in this TPM and has never been outside. */
  readonly isBornHere: boolean;
  /** The only way of signing that it knows, where it does not know them all: TPM_ALG_ID. */
  readonly onlyScheme?: number;
}

/** TPM_ALG_ID (Part 2, 6.3). */
const none = 0x0010;
const rsaes = 0x0015;
const ecdaa = 0x001a;

/** TPMA_OBJECT (Part 2, 8.3). */
const fixedTpm = 0x0000_0002;
const sensitiveDataOrigin = 0x0000_0020;
const noDictionaryAttack = 0x0000_0400;
const restricted = 0x0001_0000;
const decrypt = 0x0002_0000;
const sign = 0x0004_0000;

/** TPM_ECC_CURVE (Part 2, 6.4). */
const curves: Readonly<Record<number, { readonly name: string; readonly width: number }>> = {
  3: { name: "P-256", width: 32 },
  4: { name: "P-384", width: 48 },
  5: { name: "P-521", width: 66 },
};

/**
 * Reads TPM2B_PUBLIC of an asymmetric key (Part 2, 12.2.4 and 12.2.3).
 * @returns undefined for everything else, curves that Node does not know included.
 */
export function parseSigningKey(bytes: Buffer): SigningKey | undefined {
  try {
    return read(new Reader(bytes.subarray(2)));
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function read(area: Reader): SigningKey | undefined {
  const type = area.u16();
  area.u16();
  const attributes = area.u32();
  area.sized();
  if (type !== 0x0001 && type !== 0x0023) return undefined;
  if (area.u16() !== none) area.skip(4);
  const onlyScheme = area.u16();
  if (onlyScheme !== none && onlyScheme !== rsaes) area.u16();
  if (onlyScheme === ecdaa) area.u16();
  const jwk = type === 0x0001 ? rsa(area) : ecc(area);
  if (jwk === undefined) return undefined;
  const has = (bit: number) => (attributes & bit) !== 0;
  return {
    publicKey: createPublicKey({ key: jwk, format: "jwk" }),
    canSign: has(sign),
    canDecrypt: has(decrypt),
    isRestricted: has(restricted),
    isLockoutProtected: !has(noDictionaryAttack),
    isBornHere: has(fixedTpm) && has(sensitiveDataOrigin),
    ...(onlyScheme !== none && { onlyScheme }),
  };
}

function rsa(area: Reader): JsonWebKey {
  area.u16();
  const exponent = Buffer.alloc(4);
  // Zero stands for what everybody uses.
  exponent.writeUInt32BE(area.u32() || 65_537);
  const e = exponent.subarray(exponent.findIndex((byte) => byte !== 0)).toString("base64url");
  return { kty: "RSA", n: area.sized().toString("base64url"), e };
}

function ecc(area: Reader): JsonWebKey | undefined {
  const curve = curves[area.u16()];
  if (area.u16() !== none) area.u16();
  const [x, y] = [area.sized(), area.sized()];
  if (curve === undefined) return undefined;
  // RFC 7518 section 6.2.1.2: the whole width, where a TPM may leave out zeros in front.
  const coordinate = (value: Buffer) =>
    Buffer.concat([Buffer.alloc(curve.width - value.length), value]).toString("base64url");
  return { kty: "EC", crv: curve.name, x: coordinate(x), y: coordinate(y) };
}

/** Reads from the front. Throws RangeError behind the end. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  u16(): number {
    this.skip(2);
    return this.#bytes.readUInt16BE(this.#at - 2);
  }

  u32(): number {
    this.skip(4);
    return this.#bytes.readUInt32BE(this.#at - 4);
  }

  sized(): Buffer {
    const length = this.u16();
    this.skip(length);
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  skip(length: number): void {
    this.#at += length;
    if (this.#at > this.#bytes.length) throw new RangeError("the area ends early");
  }
}
