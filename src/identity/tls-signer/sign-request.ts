import { constants, type KeyObject } from "node:crypto";
import { AgentError } from "../../platform/failure.ts";
import { ecdsaDer } from "./ecdsa-der.ts";

export type Hash = "sha256" | "sha384" | "sha512";

/**
 * A digest to be signed, for example `{ scheme: "rsa-pss", hash: "sha256", digest: <32 bytes>, saltLength: 32 }`.
 *
 * Lengths are bytes. For `rsa-pss`, MGF1 uses `hash` too. For `rsa-pkcs1`, the signer wraps the digest into
 * DigestInfo (RFC 8017 section 9.2) unless its token does.
 */
export type SignRequest =
  | { readonly scheme: "ecdsa"; readonly hash: Hash; readonly digest: Uint8Array }
  | { readonly scheme: "rsa-pkcs1"; readonly hash: Hash; readonly digest: Uint8Array }
  | {
      readonly scheme: "rsa-pss";
      readonly hash: Hash;
      readonly digest: Uint8Array;
      readonly saltLength: number;
    };

/**
 * Signs one digest and returns at once: for RSA as many bytes as the modulus, for ECDSA r and s one after the other,
 * each as wide as the field (64 bytes for P-256). The form of PKCS#11 and of TPMs.
 *
 * The process stands still meanwhile. What it throws is kept by the key's `failure`.
 */
export type SignDigest = (request: SignRequest) => Uint8Array;

/** The part of a key that decides how its signatures look. */
export interface KeyShape {
  readonly kind: "rsa" | "ec";
  /** Of the modulus or of the field. */
  readonly bits: number;
}

const fieldBits: Readonly<Record<string, number>> = { prime256v1: 256, secp384r1: 384, secp521r1: 521 };

/** @returns undefined for anything but RSA of 2048 to 4096 bits, P-256, P-384 and P-521. */
export function keyShape(publicKey: KeyObject): KeyShape | undefined {
  const { modulusLength = 0, namedCurve = "" } = publicKey.asymmetricKeyDetails ?? {};
  if (publicKey.asymmetricKeyType === "rsa") {
    return modulusLength >= 2048 && modulusLength <= 4096 ? { kind: "rsa", bits: modulusLength } : undefined;
  }
  const bits = publicKey.asymmetricKeyType === "ec" ? fieldBits[namedCurve] : undefined;
  return bits === undefined ? undefined : { kind: "ec", bits };
}

/**
 * @param salt bytes, or one of OpenSSL's rules below zero; read for `rsa-pss` only.
 * @throws AgentError `identity/tls-signature-impossible` (operator) where the salt is longer than the key allows.
 */
export function describeRequest(
  shape: KeyShape,
  scheme: SignRequest["scheme"],
  hash: Hash,
  digest: Uint8Array,
  salt: number,
): SignRequest {
  if (scheme !== "rsa-pss") return { scheme, hash, digest };
  return { scheme, hash, digest, saltLength: saltLength(shape, digest.length, salt) };
}

/** RFC 8017 section 9.1.1: the salt has at most emLen - hLen - 2 bytes, where emLen covers all bits but one. */
function saltLength(shape: KeyShape, digestLength: number, salt: number): number {
  const longest = Math.ceil((shape.bits - 1) / 8) - digestLength - 2;
  if (salt === constants.RSA_PSS_SALTLEN_DIGEST) return digestLength;
  if (salt < 0) return longest;
  if (salt <= longest) return salt;
  throw new AgentError(
    "identity/tls-signature-impossible",
    "operator",
    `a signature with ${salt} bytes of salt was asked for, but the key has room for ${longest}`,
  );
}

/**
 * Turns a signer's answer into what TLS sends.
 * @throws AgentError `identity/tls-signature-malformed` (operator) where it cannot be a signature by this key.
 */
export function encodeSignature(shape: KeyShape, signature: Uint8Array): Uint8Array {
  const width = Math.ceil(shape.bits / 8);
  const expected = shape.kind === "rsa" ? width : 2 * width;
  if (signature.length !== expected) {
    throw new AgentError(
      "identity/tls-signature-malformed",
      "operator",
      `the key answered with a signature of ${signature.length} bytes where ${expected} were expected`,
    );
  }
  return shape.kind === "rsa" ? signature : ecdsaDer(signature);
}
