import { Secret } from "../platform/secret.ts";

const minBytes = 16;
const maxBytes = 64;

/**
 * Reads a symmetric key as the portal shows it: one line of standard base64, 16 to 64 bytes decoded
 * (https://learn.microsoft.com/azure/iot-dps/concepts-symmetric-key-attestation).
 * @returns the key, or what is wrong with the text, without quoting any of it.
 */
export function parseBase64Key(
  text: string,
): { readonly key: Secret<Buffer> } | { readonly problem: string } {
  const trimmed = text.trim();
  if (trimmed === "") return { problem: "it is empty" };
  const decoded = Buffer.from(trimmed, "base64");
  // Buffer.from skips what it does not know, so only a text that survives the round trip was base64.
  if (decoded.toString("base64") !== trimmed)
    return { problem: "it is not one line of standard base64 with padding" };
  if (decoded.length < minBytes || decoded.length > maxBytes) {
    return { problem: `it holds ${decoded.length} bytes where ${minBytes} to ${maxBytes} are expected` };
  }
  return { key: new Secret(decoded) };
}
