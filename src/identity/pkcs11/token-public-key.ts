import { createPublicKey, type JsonWebKey, type KeyObject } from "node:crypto";
import { attributeOf, findObjects, type TokenKey } from "./token-objects.ts";
import type { TokenSession } from "./tokens.ts";

/**
 * The public half of a private key, as far as the token tells it: from the key itself (RSA) or from the public key beside it.
 * @returns undefined where the token does not: EC keys without their public half have to be taken from a certificate.
 */
export function tokenPublicKey(session: TokenSession, key: TokenKey): KeyObject | undefined {
  const { pk } = session.cryptoki;
  const modulus = attributeOf(session, key.handle, pk.CKA_MODULUS);
  const exponent = attributeOf(session, key.handle, pk.CKA_PUBLIC_EXPONENT);
  if (isThere(modulus) && isThere(exponent)) {
    return parse({ kty: "RSA", n: modulus.toString("base64url"), e: exponent.toString("base64url") });
  }
  const parameters = attributeOf(session, key.handle, pk.CKA_EC_PARAMS)?.toString("hex") ?? "";
  const curve = curves[parameters];
  const [beside] = key.id === "" ? [] : findObjects(session, besideTemplate(session, key));
  const point = beside === undefined ? undefined : attributeOf(session, beside, pk.CKA_EC_POINT);
  if (curve === undefined || point === undefined) return undefined;
  // PKCS#11 2.3.3: the point stands at the end, uncompressed, in an OCTET STRING that some tokens leave out.
  const coordinates = point.subarray(-2 * curve.width);
  if (coordinates.length < 2 * curve.width) return undefined;
  return parse({
    kty: "EC",
    crv: curve.name,
    x: coordinates.subarray(0, curve.width).toString("base64url"),
    y: coordinates.subarray(curve.width).toString("base64url"),
  });
}

/** By the DER of CKA_EC_PARAMS, an object identifier (RFC 5480 section 2.1.1.1). */
const curves: Readonly<Record<string, { readonly name: string; readonly width: number }>> = {
  "06082a8648ce3d030107": { name: "P-256", width: 32 },
  "06052b81040022": { name: "P-384", width: 48 },
  "06052b81040023": { name: "P-521", width: 66 },
};

function besideTemplate({ cryptoki: { pk } }: TokenSession, { id }: TokenKey) {
  return [
    { type: pk.CKA_CLASS, value: pk.CKO_PUBLIC_KEY },
    { type: pk.CKA_ID, value: Buffer.from(id, "hex") },
  ];
}

function isThere(value: Buffer | undefined): value is Buffer {
  return value !== undefined && value.length > 0;
}

/** What a token says wrongly of a key is the same as nothing: the signature that is checked later decides. */
function parse(key: JsonWebKey): KeyObject | undefined {
  try {
    return createPublicKey({ key, format: "jwk" });
  } catch {
    return undefined;
  }
}
