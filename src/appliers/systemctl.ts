import { AgentError } from "../platform/failure.ts";
import { runCommand } from "../platform/run-command.ts";
import type { Failed } from "./write-target.ts";

export interface UnitState {
  /** Undefined where enabling means nothing: static, generated, masked, … */
  readonly enabled?: boolean;
  readonly started: boolean;
}

export interface UnitWish {
  readonly enabled?: boolean;
  readonly started?: boolean;
  /** Restarted if it runs and is not started just now. */
  readonly isRestarted?: boolean;
}

interface Manager {
  /** Absolute path. */
  readonly systemctl: string;
  readonly timeoutMs: number;
}

/** What systemd says about a unit. @see systemctl(1), show */
export async function readUnit(
  manager: Manager,
  unit: string,
  signal: AbortSignal,
): Promise<({ readonly status: "read" } & UnitState) | Failed> {
  const properties = ["LoadState", "UnitFileState", "ActiveState"].map((name) => `--property=${name}`);
  const shown = await call(manager, ["show", ...properties, "--", unit], signal);
  if (typeof shown !== "string") return shown;
  const state = new Map(shown.split("\n").map((line) => splitOnce(line)));
  if (state.get("LoadState") === "not-found")
    return { status: "failed", code: "appliers/unit-missing", message: `there is no unit ${unit}` };
  const file = state.get("UnitFileState") ?? "";
  const active = state.get("ActiveState") ?? "";
  const started = ["active", "activating", "reloading", "refreshing"].includes(active);
  if (file === "disabled") return { status: "read", enabled: false, started };
  if (file.startsWith("enabled")) return { status: "read", enabled: true, started };
  return { status: "read", started };
}

/** Brings a unit there; does nothing where it is so already. */
export async function changeUnit(
  manager: Manager,
  unit: string,
  { enabled, started, isRestarted }: UnitWish,
  signal: AbortSignal,
): Promise<
  | { readonly status: "done"; readonly changed: readonly string[] }
  | { readonly status: "failed"; readonly changed: readonly string[]; readonly failure: Failed }
> {
  const changed: string[] = [];
  const state = await readUnit(manager, unit, signal);
  if (state.status === "failed") return { status: "failed", changed, failure: state };
  const verbs = [
    ...(enabled === undefined || state.enabled === undefined || state.enabled === enabled
      ? []
      : [enabled ? "enable" : "disable"]),
    ...(started === undefined || state.started === started ? [] : [started ? "start" : "stop"]),
    ...(isRestarted === true && state.started && started !== false ? ["restart"] : []),
  ];
  for (const verb of verbs) {
    const result = await call(manager, [verb, "--", unit], signal);
    if (typeof result !== "string") return { status: "failed", changed, failure: result };
    changed.push(`${verb} ${unit}`);
  }
  return { status: "done", changed };
}

async function call(
  { systemctl, timeoutMs }: Manager,
  args: readonly string[],
  signal: AbortSignal,
): Promise<string | Failed> {
  try {
    const options = ["--no-pager", "--no-ask-password"];
    const result = await runCommand({ file: systemctl, args: [...options, ...args], timeoutMs }, signal);
    if (result.exitCode === 0) return result.stdout;
    const message = `systemctl ${args.join(" ")} exited with ${result.exitCode}: ${result.lastStderrLine}`;
    return { status: "failed", code: "appliers/unit-failed", message };
  } catch (error) {
    if (signal.aborted || !(error instanceof AgentError)) throw error;
    return { status: "failed", code: error.code, message: error.message };
  }
}

function splitOnce(line: string): readonly [string, string] {
  const at = line.indexOf("=");
  return [line.slice(0, at), line.slice(at + 1).trim()];
}
