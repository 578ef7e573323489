import type { Credential } from "../identity/identity.ts";
import { sharedAccessSignature } from "../identity/sas.ts";
import type { LinkProof } from "../mqtt/link.ts";

/** What a token is made for. */
interface TokenFor {
  readonly resource: string;
  /** Wall clock, milliseconds since 1970. */
  readonly expiresAtMs: number;
  /** As in `sharedAccessSignature`. */
  readonly keyName?: string;
}

/** Makes what a service is shown: a token, or the certificate that goes into the handshake. @throws AgentError as the key. */
export async function prove(
  credential: Credential,
  { resource, expiresAtMs, keyName }: TokenFor,
  signal: AbortSignal,
): Promise<LinkProof> {
  switch (credential.attestation) {
    case "symmetric-key": {
      const { key } = credential;
      return { password: await sharedAccessSignature(key, resource, expiresAtMs, keyName, signal) };
    }
    case "x509":
      return { clientCertificate: credential.certificate };
  }
}
