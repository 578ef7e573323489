import type { Config, KeyLocation } from "../config/config.ts";
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
import type { Pkcs11Tokens } from "../identity/pkcs11/tokens.ts";
import { AgentError } from "../platform/failure.ts";

/**
 * Opens the identity that the config points to. What was opened is closed when the step ends.
 * @param tokens stay logged in from step to step.
 * @param nowMs wall clock, milliseconds since 1970, by which a certificate holds or not.
 * @throws AgentError as `openHmacKey`, or with a certificate as `readCertificates`, `parseCertificates`, `openTlsKey` and
 *   `checkCertificate`; `identity/no-registration-id` (operator).
 */
export async function openIdentity(
  config: Config,
  hostName: string,
  nowMs: number,
  tokens: Pkcs11Tokens,
): Promise<OpenIdentity> {
  if (config.certificate !== undefined) return openCertificate(config, config.certificate, nowMs, tokens);
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

async function openCertificate(
  { key: keyAt, registrationId }: Config,
  certificateAt: KeyLocation,
  nowMs: number,
  tokens: Pkcs11Tokens,
): Promise<OpenIdentity> {
  const chain = parseCertificates(await readCertificates(certificateAt, tokens));
  const certified = chain.leaf.publicKey.export({ type: "spki", format: "der" });
  const key = await openTlsKey(keyAt, certified, tokens);
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
