import type { CertificateLocation, Config } from "../config/config.ts";
import { isRegistrationId } from "../config/registration-id.ts";
import {
  certificateDigest,
  chainExpiresAtMs,
  chainPem,
  commonNameOf,
  parseCertificates,
} from "../identity/certificate.ts";
import { certificateWarnings, checkCertificate } from "../identity/check-certificate.ts";
import type { OpenIdentity } from "../identity/identity.ts";
import { openHmacKey, openTlsKey, readCertificates } from "../identity/open.ts";
import type { LazyTpm } from "../identity/lazy-tpm.ts";
import type { Pkcs11Tokens } from "../identity/pkcs11/tokens.ts";
import { AgentError } from "../platform/failure.ts";

/** What an identity is opened with, besides the configuration. */
export interface Opening {
  readonly hostName: string;
  /** Wall clock, milliseconds since 1970, by which a certificate holds or not. */
  readonly nowMs: number;
  /** Stay logged in from step to step. */
  readonly tokens: Pkcs11Tokens;
  readonly tpm: LazyTpm;
}

/**
 * Opens the identity that the config points to. What was opened is closed when the step ends.
 * @throws AgentError as `openHmacKey`, with a TPM as `TpmDevice`, or with a certificate as `readCertificates`, `parseCertificates`, `openTlsKey` and
 *   `checkCertificate`; `identity/no-registration-id` (operator).
 */
export async function openIdentity(
  config: Config,
  opening: Opening,
  signal: AbortSignal,
): Promise<OpenIdentity> {
  const { hostName, tokens, tpm } = opening;
  if (config.certificate !== undefined) return openCertificate(config, config.certificate, opening);
  if (config.key.scheme === "tpm2") return openTpm(config, tpm, signal);
  const { key, ...facts } = await openHmacKey(config.key, tokens);
  const registrationId = config.registrationId ?? fromHostName(hostName);
  return {
    identity: { registrationId, attestation: "symmetric-key", ...facts },
    credential: { attestation: "symmetric-key", key },
    async [Symbol.asyncDispose]() {
      // A symmetric key holds nothing open.
    },
  };
}

/** The registration ID is derived from the endorsement key, as Azure's own clients do it, unless the operator chose another. */
async function openTpm(config: Config, tpm: LazyTpm, signal: AbortSignal): Promise<OpenIdentity> {
  const device = await tpm.get();
  const { credential, registrationId, ...facts } = await device.open(signal);
  return {
    identity: { registrationId: config.registrationId ?? registrationId, attestation: "tpm", ...facts },
    credential: { attestation: "tpm", tpm: credential },
    async [Symbol.asyncDispose]() {
      // Nothing of it stays in the TPM between two commands.
    },
  };
}

async function openCertificate(
  { key: keyAt, registrationId }: Config,
  certificateAt: CertificateLocation,
  { nowMs, tokens, tpm }: Opening,
): Promise<OpenIdentity> {
  const chain = parseCertificates(await readCertificates(certificateAt, tokens));
  const certified = chain.leaf.publicKey.export({ type: "spki", format: "der" });
  const key = await openTlsKey(keyAt, certified, { tokens, tpm });
  try {
    const { publicKey } = key;
    checkCertificate(chain, { publicKey, nowMs, ...(registrationId !== undefined && { registrationId }) });
    return {
      identity: {
        registrationId: registrationId ?? fromCommonName(commonNameOf(chain.leaf) ?? ""),
        attestation: "x509",
        credentialDigest: certificateDigest(chain),
        custody: key.custody,
        certificateExpiresAtMs: chainExpiresAtMs(chain),
        warnings: [...key.warnings, ...certificateWarnings(chain, nowMs)],
      },
      credential: { attestation: "x509", certificate: { chain: chainPem(chain), key } },
      async [Symbol.asyncDispose]() {
        key[Symbol.dispose]();
      },
    };
  } catch (error) {
    key[Symbol.dispose]();
    throw error;
  }
}

/** Lower case, because DPS compares without case but group keys are derived from the spelling. */
function fromHostName(hostName: string): string {
  const candidate = hostName.toLowerCase();
  if (isRegistrationId(candidate) && candidate !== "localhost") return candidate;
  throw new AgentError(
    "identity/no-registration-id",
    "operator",
    `the host name "${hostName}" cannot serve as registration ID. Set registration_id in the config`,
  );
}

function fromCommonName(commonName: string): string {
  if (isRegistrationId(commonName)) return commonName;
  throw new AgentError(
    "identity/no-registration-id",
    "operator",
    `the common name "${commonName}" of the certificate cannot serve as registration ID. ` +
      "Expected 1 to 128 letters, digits and - . _ : with a letter, digit or - at the end",
  );
}
