/** The six fields of an `authenticationKey`, each with its two octets of length. */
export type BlobFields = readonly [Buffer, Buffer, Buffer, Buffer, Buffer, Buffer];

/** @throws Error when the bytes are not exactly six fields. */
export function parseFields(blob: Buffer): BlobFields {
  let at = 0;
  const next = (): Buffer => {
    const end = at + 2 + blob.readUInt16BE(at);
    const field = blob.subarray(at, end);
    if (end > blob.length) throw new Error("a length points behind the end");
    at = end;
    return field;
  };
  const fields: BlobFields = [next(), next(), next(), next(), next(), next()];
  if (at !== blob.length) throw new Error(`${blob.length - at} octets are left over`);
  return fields;
}
