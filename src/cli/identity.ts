import { X509Certificate } from "node:crypto";
import { openIdentity } from "../agent/open-identity.ts";
import type { Config } from "../config/config.ts";
import { loadDraftConfig, type ConfigSources } from "../config/load.ts";
import { formatProblem } from "../config/problem.ts";
import { LazyTpm } from "../identity/lazy-tpm.ts";
import { AgentError } from "../platform/failure.ts";
import type { DeviceParts } from "./device-parts.ts";
import { enrollmentCommand } from "./enrollment-command.ts";
import { exitCode } from "./exit-code.ts";
import {
  asCsv,
  asText,
  describeIdentity,
  describeTpmIdentity,
  type IdentityDescription,
} from "./identity-description.ts";
import type { CliIo } from "./io.ts";
import { tpmSettings } from "./tpm-settings.ts";

export interface IdentityOptions {
  readonly json?: boolean;
  readonly csv?: boolean;
  readonly az?: boolean;
  /** Show the TPM, whatever the key of the configuration is. */
  readonly tpm?: boolean;
}

/** What is shown, and the device's own certificate in PEM, where it has one. */
interface Shown {
  readonly description: IdentityDescription;
  readonly leaf?: string;
}

/**
 * `latebind identity`: who this device is, as it would tell a service. Opens the key, and so finds what is wrong with it; sends
 * nothing, and leaves a TPM as it is. A key itself is never printed.
 *
 * Needs no configuration: where no key is there either, it looks for a TPM.
 */
export async function showIdentity(
  sources: ConfigSources,
  options: IdentityOptions,
  device: DeviceParts,
  io: CliIo,
): Promise<number> {
  if ([options.json, options.csv, options.az].filter((chosen) => chosen === true).length > 1) {
    io.stderr("Choose one of --json, --csv and --az.\n");
    return exitCode.usage;
  }
  const loaded = await loadDraftConfig(sources);
  if (loaded.status === "invalid") {
    for (const problem of loaded.problems) io.stderr(`${formatProblem(problem)}\n`);
    return exitCode.config;
  }
  try {
    io.stdout(render(await look(loaded.config, options, device, io), options));
    return exitCode.ok;
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    const more = error.code === "identity/tpm-no-permission" ? `. ${forPeople}` : "";
    io.stderr(`${error.message}${more} [${error.code}]\n`);
    return exitCode.failure;
  }
}

const forPeople = "To look at it yourself: run this with sudo, or become a member of the group tss";

async function look(
  config: Config,
  options: IdentityOptions,
  device: DeviceParts,
  io: CliIo,
): Promise<Shown> {
  const isTpm = config.key.scheme === "tpm2" && config.certificate === undefined;
  if (isTpm || options.tpm === true) return { description: await lookAtTpm(config, device, io) };
  try {
    return await lookAtKey(config, device);
  } catch (error) {
    if (!(error instanceof AgentError) || error.code !== "identity/key-file-missing") throw error;
    return { description: await lookForTpm(config, device, io, error) };
  }
}

async function lookAtKey(
  config: Config,
  { hostName, clock, tokens, memoryDirectory }: DeviceParts,
): Promise<Shown> {
  const tpm = new LazyTpm(config.tpm, { workDirectory: memoryDirectory });
  const opening = { hostName, nowMs: clock.now(), tokens, tpm };
  await using opened = await openIdentity(config, opening, never);
  const description = describeIdentity(opened);
  if (opened.credential.attestation !== "x509") return { description };
  return { description, leaf: new X509Certificate(opened.credential.certificate.chain).toString() };
}

const never = new AbortController().signal;

async function lookAtTpm(config: Config, device: DeviceParts, io: CliIo): Promise<IdentityDescription> {
  const { describeTpm } = await import("../identity/tpm/describe-tpm.ts");
  const lazy = new LazyTpm(tpmSettings(config, io), { workDirectory: device.memoryDirectory });
  return describeTpmIdentity(await describeTpm(await lazy.tpm(), never), config.registrationId);
}

/** Where there is no key, a TPM may be meant to be it. */
async function lookForTpm(
  config: Config,
  device: DeviceParts,
  io: CliIo,
  noKey: AgentError,
): Promise<IdentityDescription> {
  try {
    const found = await lookAtTpm(config, device, io);
    return { ...found, warnings: [...found.warnings, notSaid] };
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    const both = `${noKey.message}. Nor is a TPM of use: ${error.message}`;
    throw new AgentError(error.code, error.remedy, both, { cause: error });
  }
}

const notSaid =
  'the configuration does not say so yet: the agent takes this TPM for its key once key = "tpm2:" is in it';

function render({ description, leaf }: Shown, { json, csv, az }: IdentityOptions): string {
  if (json === true) return `${JSON.stringify(description, undefined, 2)}\n`;
  if (csv === true) return asCsv(description);
  return az === true ? enrollmentCommand(description, leaf) : asText(description);
}
