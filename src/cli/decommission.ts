import type { Config } from "../config/config.ts";
import { loadDraftConfig, type ConfigSources } from "../config/load.ts";
import { formatProblem } from "../config/problem.ts";
import { controlPath, usualControlPath } from "../control/control-path.ts";
import { LazyTpm } from "../identity/lazy-tpm.ts";
import { AgentError, systemCode } from "../platform/failure.ts";
import { peekStore } from "../platform/store.ts";
import { parseAssignments } from "../provisioning/stored-assignments.ts";
import { findBelongings, type Belongings } from "./belongings.ts";
import { clearOut } from "./clear-out.ts";
import { printPlan, printReceipt, type Device } from "./decommission-receipt.ts";
import type { DeviceParts } from "./device-parts.ts";
import { exitCode } from "./exit-code.ts";
import type { CliIo } from "./io.ts";
import { isAgentRunning } from "./running-agent.ts";
import { tpmSettings } from "./tpm-settings.ts";

export interface DecommissionOptions {
  readonly yes?: boolean;
  readonly json?: boolean;
}

/**
 * `latebind decommission`: takes this device out of service and says what was removed and what was not; without `--yes` only what
 * would be. Never touches what it did not make, the cloud included.
 */
export async function decommission(
  sources: ConfigSources,
  { yes, json }: DecommissionOptions,
  device: DeviceParts,
  io: CliIo,
): Promise<number> {
  const loaded = await loadDraftConfig(sources);
  if (loaded.status === "invalid") {
    for (const problem of loaded.problems) io.stderr(`${formatProblem(problem)}\n`);
    return exitCode.config;
  }
  try {
    const isRunning = await isAgentRunning(controlPath(io.env) ?? usualControlPath);
    if (yes === true && isRunning) throw running();
    const { who, belongings } = await look(loaded.config, sources, io);
    if (yes !== true) {
      io.stdout(printPlan({ who, belongings, isRunning }, json === true));
      return exitCode.ok;
    }
    const { stateDirectory } = sources;
    const tpm = new LazyTpm(tpmSettings(loaded.config, io), { workDirectory: device.memoryDirectory });
    const cleared = await clearOut(belongings, stateDirectory, async () => tpm.tpm());
    const receipt = { atMs: device.clock.now(), who, cleared, kept: belongings.kept };
    io.stdout(printReceipt(receipt, json === true));
    return cleared.some(({ status }) => status === "failed") ? exitCode.failure : exitCode.ok;
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    io.stderr(`${error.message} [${error.code}]\n`);
    return exitCode.failure;
  }
}

interface Seen {
  readonly who: Device;
  readonly belongings: Belongings;
}

/** @throws AgentError `cli/state-not-readable` (operator). */
async function look(config: Config, sources: ConfigSources, { env }: CliIo): Promise<Seen> {
  const { stateDirectory } = sources;
  const [cache = ""] = (env["CACHE_DIRECTORY"] ?? "").split(":");
  try {
    const { current, candidate } = peekStore(stateDirectory, "assignment", parseAssignments) ?? {};
    const last = current ?? candidate;
    const registrationId = last?.madeFrom.registrationId ?? config.registrationId;
    const who = {
      ...(registrationId !== undefined && { registrationId }),
      ...(last !== undefined && { hub: last.hub, deviceId: last.deviceId }),
    };
    const cacheDirectory = cache === "" ? "/var/cache/latebind" : cache;
    return { who, belongings: await findBelongings(config, sources, cacheDirectory) };
  } catch (error) {
    const code = systemCode(error);
    if (code === "") throw error;
    throw new AgentError(
      "cli/state-not-readable",
      "operator",
      `cannot read what the agent keeps in ${stateDirectory} (${code}). Nothing was removed. Run this as root`,
      { cause: error },
    );
  }
}

function running(): AgentError {
  return new AgentError(
    "cli/agent-running",
    "operator",
    "the agent is running, and nothing was removed. Stop it for good first: systemctl disable --now latebind",
  );
}
