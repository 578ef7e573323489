import { createHmac, timingSafeEqual } from "node:crypto";

/** A token as it came over the wire. The HMAC covers the literal texts, so those are kept beside their meaning. */
export interface SasToken {
  /** `sr` as sent: some devices leave it unencoded, some use `%2f`, some lower-case all of it. */
  readonly literalResource: string;
  /** `sr` decoded, for comparing without regard to case. */
  readonly resource: string;
  readonly literalExpiry: string;
  readonly expiresAtMs: number;
  readonly signature: Buffer;
  readonly keyName: string | undefined;
}

/**
 * Reads `SharedAccessSignature sr=…&sig=…&se=…[&skn=…]`, fields in any order.
 * @returns the token, or in words why it is none. Unknown or repeated fields make it none: a damaged token must not pass
 *   because the damage hit a field's name.
 */
export function parseSasToken(text: string): SasToken | { readonly malformed: string } {
  const prefix = "SharedAccessSignature ";
  if (!text.startsWith(prefix)) return { malformed: "does not start with SharedAccessSignature" };
  const fields = new Map<string, string>();
  for (const pair of text.slice(prefix.length).split("&")) {
    const at = pair.indexOf("=");
    const name = pair.slice(0, at);
    if (at < 1 || !["sr", "sig", "se", "skn"].includes(name)) return { malformed: "has an unknown field" };
    if (fields.has(name)) return { malformed: `has ${name} twice` };
    fields.set(name, pair.slice(at + 1));
  }
  return readFields(fields);
}

function readFields(fields: ReadonlyMap<string, string>): SasToken | { readonly malformed: string } {
  const literalResource = fields.get("sr");
  const literalExpiry = fields.get("se");
  const literalSignature = fields.get("sig");
  if (literalResource === undefined || literalExpiry === undefined || literalSignature === undefined) {
    return { malformed: "lacks sr, sig or se" };
  }
  const resource = percentDecoded(literalResource);
  if (resource === undefined) return { malformed: "has a damaged sr" };
  if (!/^\d{1,12}$/.test(literalExpiry)) return { malformed: "has an se that is no number of seconds" };
  const signature = decodeBase64(percentDecoded(literalSignature) ?? "");
  if (signature === undefined) return { malformed: "has a sig that is not base64" };
  const keyName = fields.get("skn");
  return {
    literalResource,
    resource,
    literalExpiry,
    expiresAtMs: Number(literalExpiry) * 1000,
    signature,
    keyName,
  };
}

const tenYearsMs = 3652 * 24 * 60 * 60 * 1000;

/**
 * What is wrong with a token's time, in words.
 * @see https://github.com/Azure/azure-iot-sdk-c/issues/714 for ten years as the longest life.
 */
export function expiryObjection({ expiresAtMs }: SasToken, nowMs: number): string | undefined {
  if (expiresAtMs <= nowMs) return "token expired";
  return expiresAtMs > nowMs + tenYearsMs ? "token for more than ten years" : undefined;
}

/** Was this token signed with this key? */
export function isSignedWith(token: SasToken, keyBase64: string): boolean {
  const text = `${token.literalResource}\n${token.literalExpiry}`;
  const expected = createHmac("sha256", Buffer.from(keyBase64, "base64")).update(text).digest();
  return token.signature.length === expected.length && timingSafeEqual(token.signature, expected);
}

/** The key of one device under a group key: base64 of HMAC-SHA256(group key, registration ID as it was spelled). */
export function deriveKey(groupKeyBase64: string, registrationId: string): string {
  return createHmac("sha256", Buffer.from(groupKeyBase64, "base64")).update(registrationId).digest("base64");
}

/** Strict: the text must be what an encoder would have written, so that no two texts mean one value. */
export function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, "base64");
  return text !== "" && bytes.toString("base64") === text ? bytes : undefined;
}

function percentDecoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
