import { der } from "../der.ts";

/**
 * Turns an ECDSA signature as tokens make it (r and s one after the other, each as wide as the field) into the form
 * that TLS and certificates use: the DER of `SEQUENCE { r INTEGER, s INTEGER }`.
 * @param pair 64, 96 or 132 bytes for P-256, P-384 and P-521.
 * @see RFC 3279 section 2.2.3
 */
export function ecdsaDer(pair: Uint8Array): Buffer {
  const width = pair.length / 2;
  return der(0x30, integer(pair.subarray(0, width)), integer(pair.subarray(width)));
}

/** X.690 8.3: as few bytes as possible, and a leading zero where the number would look negative. */
function integer(value: Uint8Array): Buffer {
  const start = value.findIndex((byte) => byte !== 0);
  const digits = value.subarray(start === -1 ? value.length - 1 : start);
  return (digits[0] ?? 0) >= 0x80 ? der(0x02, Buffer.of(0), digits) : der(0x02, digits);
}
