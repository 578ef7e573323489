import {
  constants,
  createECDH,
  createHash,
  privateEncrypt,
  randomBytes,
  type JsonWebKey,
  type KeyObject,
} from "node:crypto";
import type { SignDigest, SignRequest } from "../../src/identity/tls-signer/sign-request.ts";

/** Signs digests as a token would, with a key in memory: Node itself signs whole messages only. */
export function softwareSigner(privateKey: KeyObject): SignDigest {
  return (request) => {
    switch (request.scheme) {
      case "ecdsa":
        return signEcdsa(privateKey, request.digest);
      case "rsa-pkcs1":
        return signPkcs1(privateKey, request);
      case "rsa-pss":
        return signPss(privateKey, request);
    }
  };
}

/** RFC 8017 section 9.2, note 1: what stands before the digest. */
const digestInfo = {
  sha256: "3031300d060960864801650304020105000420",
  sha384: "3041300d060960864801650304020205000430",
  sha512: "3051300d060960864801650304020305000440",
};

function signPkcs1(key: KeyObject, request: SignRequest): Buffer {
  const info = Buffer.concat([Buffer.from(digestInfo[request.hash], "hex"), request.digest]);
  return privateEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, info);
}

/** RFC 8017 section 9.1.1. */
function signPss(key: KeyObject, request: Extract<SignRequest, { scheme: "rsa-pss" }>): Buffer {
  const size = (key.asymmetricKeyDetails?.modulusLength ?? 0) / 8;
  const salt = randomBytes(request.saltLength);
  const hash = createHash(request.hash).update(Buffer.alloc(8)).update(request.digest).update(salt).digest();
  const data = Buffer.alloc(size - hash.length - 1);
  data[data.length - salt.length - 1] = 1;
  salt.copy(data, data.length - salt.length);
  const mask = mgf1(request.hash, hash, data.length);
  for (const [index, byte] of mask.entries()) data[index] = (data[index] ?? 0) ^ byte;
  data[0] = (data[0] ?? 0) & 0x7f;
  return privateEncrypt(
    { key, padding: constants.RSA_NO_PADDING },
    Buffer.concat([data, hash, Buffer.of(0xbc)]),
  );
}

/** RFC 8017 appendix B.2.1. */
function mgf1(hash: string, seed: Buffer, size: number): Buffer {
  const blocks: Buffer[] = [];
  for (let counter = 0; blocks.length * seed.length < size; counter++) {
    const suffix = Buffer.alloc(4);
    suffix.writeUInt32BE(counter);
    blocks.push(createHash(hash).update(seed).update(suffix).digest());
  }
  return Buffer.concat(blocks).subarray(0, size);
}

/** The orders of the curves' base points (SEC 2). */
const curves: Readonly<
  Record<string, { readonly name: string; readonly order: bigint; readonly width: number }>
> = {
  "P-256": {
    name: "prime256v1",
    order: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
    width: 32,
  },
  "P-384": {
    name: "secp384r1",
    order:
      0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
    width: 48,
  },
  "P-521": {
    name: "secp521r1",
    order:
      0x1fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
    width: 66,
  },
};

/** FIPS 186-5 section 6.4.1; the curve arithmetic is done by ECDH's key generation. */
function signEcdsa(privateKey: KeyObject, digest: Uint8Array): Buffer {
  const jwk: JsonWebKey = privateKey.export({ format: "jwk" });
  const curve = curves[jwk.crv ?? ""];
  if (curve === undefined || jwk.d === undefined) throw new Error(`no curve ${jwk.crv}`);
  const nonce = createECDH(curve.name);
  const point = nonce.generateKeys();
  const r = number(point.subarray(1, 1 + curve.width)) % curve.order;
  const k = number(nonce.getPrivateKey());
  const z = number(digest.subarray(0, curve.width)); // no digest here is longer than its curve but SHA-512 on P-256
  const s = (inverse(k, curve.order) * (z + r * number(Buffer.from(jwk.d, "base64url")))) % curve.order;
  return Buffer.concat([bytes(r, curve.width), bytes(s, curve.width)]);
}

function number(value: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(value).toString("hex")}`);
}

function bytes(value: bigint, width: number): Buffer {
  return Buffer.from(value.toString(16).padStart(2 * width, "0"), "hex");
}

/** Extended Euclid. */
function inverse(value: bigint, modulus: bigint): bigint {
  let [a, b, x, y] = [value, modulus, 1n, 0n];
  while (b !== 0n) [a, b, x, y] = [b, a % b, y, x - (a / b) * y];
  return ((x % modulus) + modulus) % modulus;
}
