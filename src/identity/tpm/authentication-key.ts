import { AgentError } from "../../platform/failure.ts";
import { parsePublicArea, sha256Algorithm } from "./public-area.ts";

/** An HMAC key that a service has wrapped for one TPM, in the files that tpm2-tools take. */
export interface AuthenticationKey {
  /** For `tpm2_activatecredential`: what opens the inner wrapping, for this endorsement key and this storage root key. */
  readonly credential: Buffer;
  /** For `tpm2_import`, each with its two bytes of length: the key, the seed of the outer wrapping, and the public area. */
  readonly duplicate: Buffer;
  readonly seed: Buffer;
  readonly publicArea: Buffer;
}

/** A field: its name, and how many bytes it may have. */
const fields = [
  { name: "TPM2B_ID_OBJECT", least: 34, most: 256 },
  { name: "TPM2B_ENCRYPTED_SECRET of the endorsement key", least: 128, most: 512 },
  { name: "TPM2B_PRIVATE", least: 34, most: 1024 },
  { name: "TPM2B_ENCRYPTED_SECRET of the storage root key", least: 128, most: 512 },
  { name: "TPM2B_PUBLIC", least: 16, most: 512 },
] as const;

/** What tpm2-tools put in front of a credential: a magic number and version 1. */
const credentialHeader = Buffer.from("badcc0de00000001", "hex");

/** TPMA_OBJECT (Part 2, 8.3): signs, with an authorization value that is empty. */
const signsWithAuth = 0x0004_0040;

/**
 * Takes an `authenticationKey` of DPS apart: five structures, one behind the other, big-endian (TPM 2.0 Library Part 2, 12.4.3, 11.4.3,
 * 12.3.7 and 12.2.5). What follows them, the hub's address in encrypted form, nobody reads any more.
 * @param text base64.
 * @throws AgentError `identity/tpm-blob-malformed` (retry). Whether the content is genuine, only the TPM can tell.
 */
export function parseAuthenticationKey(text: string): AuthenticationKey {
  const bytes = Buffer.from(text, "base64");
  if (bytes.length === 0 || bytes.toString("base64") !== text) throw malformed("it is not base64");
  let at = 0;
  const [identity, secret, duplicate, seed, publicArea] = fields.map(({ name, least, most }) => {
    const size = at + 2 <= bytes.length ? bytes.readUInt16BE(at) : undefined;
    if (size === undefined) throw malformed(`it ends before ${name}`);
    if (size < least || size > most) throw malformed(`${name} has ${size} bytes`);
    if (at + 2 + size > bytes.length) throw malformed(`it ends within ${name}`);
    const field = bytes.subarray(at, at + 2 + size);
    at += field.length;
    return field;
  });
  if (identity === undefined || secret === undefined || duplicate === undefined)
    throw malformed("it is empty");
  if (seed === undefined || publicArea === undefined) throw malformed("it is empty");
  // Both begin with a digest of SHA-256, whose length the TPM would believe.
  if (identity.readUInt16BE(2) !== 32) throw malformed("the digest in TPM2B_ID_OBJECT is not of SHA-256");
  if (duplicate.readUInt16BE(2) !== 32) throw malformed("the digest in TPM2B_PRIVATE is not of SHA-256");
  checkPublicArea(publicArea);
  return { credential: Buffer.concat([credentialHeader, identity, secret]), duplicate, seed, publicArea };
}

function checkPublicArea(bytes: Buffer): void {
  const key = parsePublicArea(bytes);
  if (key?.type !== "keyed-hash") throw malformed("the key in it is not for HMAC");
  if (key.nameAlgorithm !== sha256Algorithm) throw malformed("the key in it is not named by SHA-256");
  if ((key.attributes & signsWithAuth) !== signsWithAuth) throw malformed("the key in it may not sign");
}

function malformed(because: string): AgentError {
  return new AgentError(
    "identity/tpm-blob-malformed",
    "retry",
    `the service sent a key for the TPM that cannot be read: ${because}. Expected the five structures of TPM attestation`,
  );
}
