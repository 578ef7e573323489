import { AgentError } from "../platform/failure.ts";
import { canonicalJson, type Json } from "../platform/json.ts";
import { runCommand } from "../platform/run-command.ts";
import type { Applier, Outcome } from "./applier.ts";
import { checkFormat, renderFormat, type FileFormat } from "./file-format.ts";
import { writeTarget } from "./write-target.ts";

/** How one desired property becomes one file. Everything here comes from the local configuration. */
export interface FileRule {
  readonly property: string;
  /** Absolute path. The folder must exist. */
  readonly file: string;
  readonly format: FileFormat;
  /** Permission bits, for example `0o640`. */
  readonly mode: number;
  /** Names or numbers; the running user where absent. */
  readonly owner?: { readonly user: string; readonly group?: string };
  /** Absolute path and arguments, run without a shell after a change. */
  readonly command?: readonly [string, ...string[]];
  /** For the command. */
  readonly timeoutMs: number;
}

type FileStep =
  | { readonly do: "write"; readonly rule: FileRule; readonly value: Json }
  | { readonly do: "run"; readonly rule: FileRule; readonly command: readonly [string, ...string[]] };

type Failed = Extract<Outcome, { status: "failed" }>;
type StepResult = { readonly status: "done"; readonly changed: readonly string[] } | Failed;

/**
 * Writes a property to a file, atomically, and runs a command afterwards.
 *
 * A file that has the content, mode and owner already is not written. The command runs whenever the value is new to the agent's
 * memory, even if the file looks right: a kill between write and command must not lose the command. When the command fails,
 * so has the property, and both are tried again. When desired no longer has the property, the file stays as it is.
 *
 * Failures by code: `appliers/command-failed`, those of `runCommand` and of `writeTarget`.
 */
export function createFileApplier(rule: FileRule): Applier {
  const applier: Applier<Json, FileStep> = {
    fingerprint: canonicalJson({
      file: rule.file,
      format: rule.format,
      mode: rule.mode,
      owner: rule.owner === undefined ? null : [rule.owner.user, rule.owner.group ?? null],
      command: rule.command ?? null,
    }),
    isDurable: true,
    parse(value) {
      const problems = checkFormat(rule.format, rule.property, value);
      return problems.length > 0 ? { status: "rejected", problems } : { status: "parsed", value };
    },
    plan: (value) => [
      { do: "write", rule, value },
      ...(rule.command === undefined ? [] : [{ do: "run", rule, command: rule.command } as const]),
    ],
    execute,
  };
  return applier;
}

async function execute(steps: readonly FileStep[], signal: AbortSignal): Promise<Outcome> {
  const changed: string[] = [];
  for (const step of steps) {
    signal.throwIfAborted();
    const result = await executeStep(step, signal);
    if (result.status === "failed") return { ...result, changed };
    changed.push(...result.changed);
  }
  return changed.length === 0 ? { status: "unchanged" } : { status: "applied", changed };
}

async function executeStep(step: FileStep, signal: AbortSignal): Promise<StepResult> {
  switch (step.do) {
    case "write":
      return writeTarget(step.rule, await renderFormat(step.rule.format, step.value));
    case "run":
      return run(step.command, step.rule.timeoutMs, signal);
  }
}

async function run(
  [file, ...args]: readonly [string, ...string[]],
  timeoutMs: number,
  signal: AbortSignal,
): Promise<StepResult> {
  try {
    const result = await runCommand({ file, args, timeoutMs, maxOutputBytes: 64 * 1024 }, signal);
    if (result.exitCode === 0) return { status: "done", changed: [`ran ${file}`] };
    const detail = result.lastStderrLine === "" ? "" : `: ${result.lastStderrLine}`;
    const message = `${file} exited with ${result.exitCode}${detail}`;
    return { status: "failed", code: "appliers/command-failed", message };
  } catch (error) {
    if (signal.aborted || !(error instanceof AgentError)) throw error;
    return { status: "failed", code: error.code, message: error.message };
  }
}
