import { randomBytes } from "node:crypto";
import { isJsonObject, type JsonObject, type JsonValue } from "./json.ts";
import { decodeBase64, isSignedWith, type SasToken } from "./sas-token.ts";
import { makeAuthenticationKey } from "./tpm-authentication-key.ts";
import { parseTpmPublic } from "./tpm-public.ts";

/** The two keys a TPM introduces itself with: base64 of TPM2B_PUBLIC each, already checked. */
export interface TpmKeys {
  readonly endorsementKey: string;
  readonly storageRootKey: string;
}

interface Challenge {
  readonly keys: TpmKeys;
  /** Base64. */
  readonly hmacKey: string;
}

/** Reads the `tpm` member of a request. @returns undefined when it is not two RSA storage keys. */
export function parseTpmKeys(value: JsonValue | undefined): TpmKeys | undefined {
  if (!isJsonObject(value)) return undefined;
  const { endorsementKey, storageRootKey } = value;
  if (!isTpmPublic(endorsementKey) || !isTpmPublic(storageRootKey)) return undefined;
  return { endorsementKey, storageRootKey };
}

export function isTpmPublic(value: JsonValue | undefined): value is string {
  if (typeof value !== "string") return false;
  const bytes = decodeBase64(value);
  return bytes !== undefined && parseTpmPublic(bytes) !== undefined;
}

/** The first of TPM attestation's two keys: who can sign with it has the EK and SRK that it was made for. */
export class TpmChallenges {
  readonly #challenges = new Map<string, Challenge>();

  /** Makes a new key for this registration; the one before is void. @returns the body of the 401 that carries it. */
  issue(registrationId: string, keys: TpmKeys): JsonObject {
    const hmacKey = randomBytes(32).toString("base64");
    this.#challenges.set(registrationId.toLowerCase(), { keys, hmacKey });
    return {
      message: "Authorization required, resend request using supplied key",
      authenticationKey: wrap(keys, hmacKey),
      unencryptedAuthenticationKey: null,
      keyName: "registration",
    };
  }

  /** @returns the keys whose TPM has signed this token, or undefined when it was not signed with the current challenge. */
  solvedBy(registrationId: string, token: SasToken): TpmKeys | undefined {
    const challenge = this.#challenges.get(registrationId.toLowerCase());
    if (challenge === undefined || !isSignedWith(token, challenge.hmacKey)) return undefined;
    return challenge.keys;
  }
}

/** An HMAC key, in base64, that only the TPM with these keys can use. @returns base64 of the blob. */
export function wrap({ endorsementKey, storageRootKey }: TpmKeys, hmacKey: string): string {
  const ek = parseTpmPublic(Buffer.from(endorsementKey, "base64"));
  const srk = parseTpmPublic(Buffer.from(storageRootKey, "base64"));
  if (ek === undefined || srk === undefined) throw new Error("TPM keys that were never checked");
  return makeAuthenticationKey(ek, srk, Buffer.from(hmacKey, "base64")).toString("base64");
}
