/**
 * Turns an ECDSA signature as tokens make it (r and s one after the other, each as wide as the field) into the form
 * that TLS and certificates use: the DER of `SEQUENCE { r INTEGER, s INTEGER }`.
 * @param pair 64, 96 or 132 bytes for P-256, P-384 and P-521.
 * @see RFC 3279 section 2.2.3
 */
export function ecdsaDer(pair: Uint8Array): Buffer {
  const width = pair.length / 2;
  return tagged(0x30, Buffer.concat([integer(pair.subarray(0, width)), integer(pair.subarray(width))]));
}

/** X.690 8.3: as few bytes as possible, and a leading zero where the number would look negative. */
function integer(value: Uint8Array): Buffer {
  const start = value.findIndex((byte) => byte !== 0);
  const digits = value.subarray(start === -1 ? value.length - 1 : start);
  return tagged(0x02, (digits[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), digits]) : digits);
}

/** X.690 8.1.3: up to 127 bytes the length is one byte; the longest here, P-521's pair, is 138. */
function tagged(tag: number, content: Uint8Array): Buffer {
  const length = content.length < 0x80 ? [content.length] : [0x81, content.length];
  return Buffer.concat([Buffer.of(tag, ...length), content]);
}
