/** Who the device is, as plain data: safe to log and to compare. */
export interface Identity {
  /** 1–128 of `A–Z a–z 0–9 - . _ :`, ending in a letter, digit or `-`. */
  readonly registrationId: string;
  readonly attestation: "symmetric-key";
  /** Names the credential without revealing it: changes exactly when the credential does. 64 hex digits. */
  readonly credentialDigest: string;
  /** Where the key lives, in words for a person: `file /etc/latebind/device.key`. */
  readonly custody: string;
}

/** A key that never leaves its custody. */
export interface Key {
  /** HMAC-SHA256 over `data`: 32 bytes. */
  hmac(data: Uint8Array, signal: AbortSignal): Promise<Uint8Array>;
}

/** An identity with its key open; lives as long as one step needs it. */
export interface OpenIdentity extends AsyncDisposable {
  readonly identity: Identity;
  readonly key: Key;
}
