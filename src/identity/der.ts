/**
 * One element of DER: its tag, its length, its parts one after the other. For what is shorter than 64 KiB.
 * @param tag the whole first byte: 0x30 is SEQUENCE, 0x02 INTEGER.
 * @see X.690 section 8.1
 */
export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.of(tag, ...lengthOf(content)), content]);
}

/** X.690 section 10.1: in as few bytes as possible. */
function lengthOf({ length }: Uint8Array): readonly number[] {
  if (length < 0x80) return [length];
  return length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
}
