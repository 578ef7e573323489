import type { Config } from "../config/config.ts";
import { loadDraftConfig, type ConfigSources } from "../config/load.ts";
import { formatProblem } from "../config/problem.ts";
import { isRegistrationId } from "../config/registration-id.ts";
import { commonNameOf, parseCertificates, type CertificateChain } from "../identity/certificate.ts";
import { certificationRequest } from "../identity/certification-request.ts";
import { LazyTpm } from "../identity/lazy-tpm.ts";
import { openTlsKey, readCertificates } from "../identity/open.ts";
import { AgentError } from "../platform/failure.ts";
import type { DeviceParts } from "./device-parts.ts";
import { exitCode } from "./exit-code.ts";
import type { CliIo } from "./io.ts";
import { tpmSettings } from "./tpm-settings.ts";

/** RFC 5280 appendix A.1: ub-common-name. */
const longestCommonName = 64;

/**
 * `latebind identity csr`: asks an authority for this device's certificate, with the key where it is. The common name is the
 * registration ID: as configured, else of the certificate at hand, else the host name. Errors as `latebind identity`.
 */
export async function printRequest(sources: ConfigSources, device: DeviceParts, io: CliIo): Promise<number> {
  const loaded = await loadDraftConfig(sources);
  if (loaded.status === "invalid") {
    for (const problem of loaded.problems) io.stderr(`${formatProblem(problem)}\n`);
    return exitCode.config;
  }
  try {
    io.stdout(await request(loaded.config, device, io));
    return exitCode.ok;
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    io.stderr(`${error.message} [${error.code}]\n`);
    return exitCode.failure;
  }
}

async function request(config: Config, device: DeviceParts, io: CliIo): Promise<string> {
  const chain = await currentChain(config, device);
  const registrationId =
    config.registrationId ??
    (chain === undefined ? device.hostName.toLowerCase() : (commonNameOf(chain.leaf) ?? ""));
  if (!isRegistrationId(registrationId) || registrationId.length > longestCommonName) {
    throw new AgentError(
      "identity/no-registration-id",
      "operator",
      `"${registrationId}" cannot be the common name: expected a registration ID of at most ${longestCommonName} characters. Set registration_id in the configuration`,
    );
  }
  const certified = chain?.leaf.publicKey.export({ type: "spki", format: "der" });
  const tpm = new LazyTpm(tpmSettings(config, io), { workDirectory: device.memoryDirectory });
  using key = await openTlsKey(config.key, certified, { tokens: device.tokens, tpm });
  return certificationRequest(registrationId, key);
}

/** The certificate that is to be renewed; a device that gets its first has none, though its place may be configured. */
async function currentChain(
  { certificate }: Config,
  { tokens }: DeviceParts,
): Promise<CertificateChain | undefined> {
  if (certificate === undefined) return undefined;
  try {
    return parseCertificates(await readCertificates(certificate, tokens));
  } catch (error) {
    if (error instanceof AgentError && missing.has(error.code)) return undefined;
    throw error;
  }
}

const missing = new Set(["identity/certificate-missing", "identity/token-certificate-missing"]);
