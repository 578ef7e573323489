import type { Secret } from "../platform/secret.ts";

/** Who the device is, as plain data: safe to log and to compare. */
export interface Identity {
  /** 1–128 of `A–Z a–z 0–9 - . _ :`, ending in a letter, digit or `-`. */
  readonly registrationId: string;
  readonly attestation: "symmetric-key" | "x509" | "tpm";
  /** Names the credential without revealing it: changes exactly when the credential does. 64 hex digits. */
  readonly credentialDigest: string;
  /** Where the key lives, in words for a person: `file /etc/latebind/device.key`. */
  readonly custody: string;
  /** With X.509: the first moment at which a certificate of the chain no longer holds, milliseconds since 1970. */
  readonly certificateExpiresAtMs?: number;
  /** What a person should mend though the agent runs, as sentences: `the token "gw" lets its key be copied`. */
  readonly warnings: readonly string[];
}

/** A symmetric key that never leaves its custody. */
export interface Key {
  /** HMAC-SHA256 over `data`, of one byte at least because tokens refuse to sign nothing: 32 bytes. */
  hmac(data: Uint8Array, signal: AbortSignal): Promise<Uint8Array>;
}

/** A symmetric key and what `Identity` says of it. */
export interface OpenHmacKey extends Pick<Identity, "credentialDigest" | "custody" | "warnings"> {
  readonly key: Key;
}

/** A private key that TLS can use. Disposing it makes later handshakes fail and keeps open connections. */
export interface TlsIdentityKey extends Disposable {
  /** SubjectPublicKeyInfo in DER: the one that the certificate has to hold. */
  readonly publicKey: Uint8Array;
  /** What `node:tls` takes as `key`: the PEM of a key file, or the name of a key that the TLS signer has registered. */
  readonly tlsKey: Secret<string>;
  /** Signs the SHA-256 of `data` as certificates are signed: RSA by PKCS#1 v1.5, ECDSA in DER. */
  readonly sign: (data: Uint8Array) => Uint8Array;
  /** Why the latest signature failed, as the key's custody said it; undefined once one succeeded. */
  readonly failure: unknown;
  /** As in `Identity`. */
  readonly custody: string;
  /** As in `Identity`. */
  readonly warnings: readonly string[];
}

/** What a TLS client shows and proves. */
export interface ClientCertificate {
  /** PEM: the leaf, then the intermediates, without the root. */
  readonly chain: string;
  readonly key: Pick<TlsIdentityKey, "tlsKey" | "failure">;
}

/** A key that only one TPM can load, wrapped by its storage root key: no secret, and worth nothing anywhere else. Base64. */
export interface WrappedKey {
  /** TPM2B_PUBLIC. */
  readonly public: string;
  /** TPM2B_PRIVATE. */
  readonly private: string;
}

/** A TPM that proves who it is by opening what only it can open. */
export interface TpmCredential {
  /** Base64 of TPM2B_PUBLIC each, as DPS wants to hear them. */
  readonly endorsementKey: string;
  readonly storageRootKey: string;
  /** Takes in a key that a service wrapped for this TPM. Nothing stays in the TPM. @throws AgentError as `takeInKey`. */
  takeIn(authenticationKey: string, signal: AbortSignal): Promise<WrappedKey>;
  /** A key that was taken in. Its use fails with `identity/changed` or `identity/tpm-hub-key-lost` where the TPM has forgotten it. */
  keyOf(wrapped: WrappedKey): Key;
}

/** How an identity is proven: by tokens that a key signs, in the TLS handshake, or by a challenge that its TPM solves. */
export type Credential =
  | { readonly attestation: "symmetric-key"; readonly key: Key }
  | { readonly attestation: "x509"; readonly certificate: ClientCertificate }
  | { readonly attestation: "tpm"; readonly tpm: TpmCredential };

/** An identity with its key open; lives as long as one step needs it. */
export interface OpenIdentity extends AsyncDisposable {
  readonly identity: Identity;
  readonly credential: Credential;
}
