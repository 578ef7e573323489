import { AgentError } from "../platform/failure.ts";
import type { Credential, WrappedKey } from "../identity/identity.ts";
import { sharedAccessSignature } from "../identity/sas.ts";
import type { LinkProof } from "../mqtt/link.ts";

/** What a token is made for. */
interface TokenFor {
  readonly resource: string;
  /** Wall clock, milliseconds since 1970. */
  readonly expiresAtMs: number;
  /** As in `sharedAccessSignature`. */
  readonly keyName?: string;
  /** With a TPM: the key to sign with. */
  readonly wrappedKey?: WrappedKey;
}

/** Makes what a service is shown: a token, or the certificate that goes into the handshake. @throws AgentError as the key. */
export async function prove(
  credential: Credential,
  { resource, expiresAtMs, keyName, wrappedKey }: TokenFor,
  signal: AbortSignal,
): Promise<LinkProof> {
  switch (credential.attestation) {
    case "symmetric-key": {
      const { key } = credential;
      return { password: await sharedAccessSignature(key, resource, expiresAtMs, keyName, signal) };
    }
    case "tpm": {
      if (wrappedKey === undefined) throw noHubKey();
      const key = credential.tpm.keyOf(wrappedKey);
      return { password: await sharedAccessSignature(key, resource, expiresAtMs, keyName, signal) };
    }
    case "x509":
      return { clientCertificate: credential.certificate };
  }
}

/** An assignment from before the TPM was the device's identity. */
function noHubKey(): AgentError {
  return new AgentError(
    "identity/tpm-hub-key-missing",
    "reprovision",
    "the TPM has no key for this hub yet. The provisioning service gives it one",
  );
}
