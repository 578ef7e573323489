import type { Config } from "../config/config.ts";
import type { CliIo } from "./io.ts";

/** Where Linux has its TPM, and the default of the configuration. */
const usual = "device:/dev/tpmrm0";

/**
 * The TPM of this machine, as a person at its shell knows it: `[tpm] tcti`, or else what tpm2-tools are told by
 * `$TPM2TOOLS_TCTI`.
 */
export function tpmSettings({ tpm }: Config, { env }: CliIo): Config["tpm"] {
  const told = env["TPM2TOOLS_TCTI"] ?? "";
  return tpm.tcti === usual && told !== "" ? { ...tpm, tcti: told } : tpm;
}
