import { createHash } from "node:crypto";

const alphabet = "abcdefghijklmnopqrstuvwxyz234567";

/**
 * The name under which Azure's own clients register a TPM: base32 (RFC 4648 section 6) of the SHA-256 of the endorsement key's
 * TPM2B_PUBLIC, in lower case and without padding. 52 characters.
 */
export function tpmRegistrationId(endorsementKey: Uint8Array): string {
  const digest = createHash("sha256").update(endorsementKey).digest();
  const bits = [...digest].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  const groups = bits.match(/.{1,5}/g) ?? [];
  return groups.map((group) => alphabet[Number.parseInt(group.padEnd(5, "0"), 2)]).join("");
}
