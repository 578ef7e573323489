import type { ConfigSources } from "../config/load.ts";
import { loadDraftConfig } from "../config/load.ts";
import { formatProblem } from "../config/problem.ts";
import { isPersistentHandle } from "../config/tpm2-uri.ts";
import { LazyTpm } from "../identity/lazy-tpm.ts";
import { AgentError } from "../platform/failure.ts";
import type { DeviceParts } from "./device-parts.ts";
import { exitCode } from "./exit-code.ts";
import type { CliIo } from "./io.ts";
import { tpmSettings } from "./tpm-settings.ts";

export interface CreateKeyOptions {
  readonly handle: string;
  readonly rsa?: boolean;
}

/** `latebind identity create-key`: makes the private key of a certificate in the TPM, and says how to go on. */
export async function createKey(
  sources: ConfigSources,
  { handle, rsa }: CreateKeyOptions,
  device: DeviceParts,
  io: CliIo,
): Promise<number> {
  if (!isPersistentHandle(handle)) {
    io.stderr("Expected a handle from 0x81000000 to 0x817fffff, such as --handle 0x81000201.\n");
    return exitCode.usage;
  }
  const loaded = await loadDraftConfig(sources);
  if (loaded.status === "invalid") {
    for (const problem of loaded.problems) io.stderr(`${formatProblem(problem)}\n`);
    return exitCode.config;
  }
  const settings = tpmSettings(loaded.config, io);
  try {
    const { createTpmKey } = await import("../identity/tpm-key/create-tpm-key.ts");
    const tpm = await new LazyTpm(settings, {
      workDirectory: device.memoryDirectory,
      stateDirectory: sources.stateDirectory,
    }).tpm();
    await createTpmKey(tpm, rsa === true ? "RSA-2048" : "P-256", handle, new AbortController().signal);
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    io.stderr(`${error.message} [${error.code}]\n`);
    return exitCode.failure;
  }
  io.stdout(
    `A new ${rsa === true ? "RSA 2048" : "P-256"} key is at ${handle} in the TPM. Add to ${sources.file}, above the first [table]:\n` +
      `  key = "tpm2:handle=${handle}"\n` +
      '  certificate = "file:device.pem"\n' +
      "and ask for its certificate: latebind identity csr > device.csr\n",
  );
  return exitCode.ok;
}
