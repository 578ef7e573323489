import { join } from "node:path";
import type { HandlerRule } from "../config/config.ts";
import { AgentError } from "../platform/failure.ts";
import { canonicalJson, isJsonObject, type Json } from "../platform/json.ts";
import { runCommand } from "../platform/run-command.ts";
import { findProgramFault } from "../platform/trusted-file.ts";
import type { Applier, Circumstances, Outcome, Step } from "./applier.ts";
import { readHandlerAnswer } from "./handler-answer.ts";
import type { Failed } from "./write-target.ts";

/** The operator's own handlers come before those of packages. */
export const handlerFolders: readonly string[] = ["/etc/latebind/handlers", "/usr/lib/latebind/handlers"];

/** Why a handler is called, as it is told. */
type Reason = "desired" | "roll-back";

interface HandlerStep extends Step, Circumstances {
  readonly value: Json;
}

/** A result has room for reasons, not for a log. */
const maxOutputBytes = 64 * 1024;

/** Linux takes 128 KiB for one text in the environment (execve(2)), and the name and a reserve are in that. */
const maxPreviousBytes = 120 * 1024;

/**
 * Hands a property to a local program that puts it in force.
 *
 * The value goes to its standard input as JSON; the name of the property, the desired version, the previous value and the reason of the call
 * are in its environment; `readHandlerAnswer` says what its answers mean. Which program that is says the local configuration, and it runs
 * only while it belongs to root and nobody else may write it. After a failure it is called once more with the value that was in force.
 *
 * Failures by code: `appliers/handler-missing`, `appliers/handler-refused` (not root's alone), those of `readHandlerAnswer` and
 * `runCommand`.
 */
export function createHandlerApplier(rule: HandlerRule, folders: readonly string[]): Applier {
  const applier: Applier<Json, HandlerStep> = {
    fingerprint: canonicalJson({ handler: rule.handler }),
    isDurable: true,
    parse: async (value) => ({ status: "parsed", value }),
    plan: (value, circumstances) => [
      { says: `hand the value to the handler ${rule.handler}`, value, ...circumstances },
    ],
    async execute(steps, signal) {
      let outcome: Outcome = { status: "unchanged" };
      for (const step of steps) outcome = await hand(rule, folders, step, signal);
      return outcome;
    },
    keep: async ({ previous }) => ({
      status: "kept",
      kept: previous === undefined ? {} : { value: previous },
    }),
    restore: async (kept, { version }, signal) => {
      const value = isJsonObject(kept) ? (kept["value"] ?? null) : null;
      const file = await findHandler(rule.handler, folders);
      if (typeof file !== "string") return file;
      return call(file, rule, { says: "", value, version }, "roll-back", signal);
    },
  };
  return applier;
}

async function hand(
  rule: HandlerRule,
  folders: readonly string[],
  step: HandlerStep,
  signal: AbortSignal,
): Promise<Outcome> {
  signal.throwIfAborted();
  const file = await findHandler(rule.handler, folders);
  if (typeof file !== "string") return file;
  const outcome = await call(file, rule, step, "desired", signal);
  if (outcome.status !== "failed" || outcome.changed?.length === 0) return outcome;
  const { previous, version } = step;
  if (previous === undefined) return { ...outcome, changed: [file] };
  const back = await call(file, rule, { ...step, value: previous, version }, "roll-back", signal);
  const isBack = back.status === "applied" || back.status === "unchanged";
  return { ...outcome, changed: isBack ? [] : [`${file} failed with the previous value too`] };
}

async function call(
  file: string,
  { property, timeoutMs }: HandlerRule,
  { value, version, previous }: HandlerStep,
  reason: Reason,
  signal: AbortSignal,
): Promise<Outcome> {
  const before = previous === undefined ? "" : JSON.stringify(previous);
  const env = {
    LATEBIND_PROPERTY: property,
    LATEBIND_VERSION: String(version),
    LATEBIND_REASON: reason,
    ...(before !== "" && Buffer.byteLength(before) <= maxPreviousBytes && { LATEBIND_PREVIOUS: before }),
  };
  const stdin = `${JSON.stringify(value)}\n`;
  try {
    const result = await runCommand(
      { file, args: [], stdin, env, timeoutMs, maxOutputBytes, cwd: "/" },
      signal,
    );
    return readHandlerAnswer(file, property, result);
  } catch (error) {
    if (signal.aborted || !(error instanceof AgentError)) throw error;
    return { status: "failed", code: error.code, message: error.message };
  }
}

async function findHandler(name: string, folders: readonly string[]): Promise<string | Failed> {
  for (const folder of folders) {
    const file = join(folder, name);
    const fault = await findProgramFault(file);
    if (fault === undefined) return file;
    // One that is there but not to be trusted is told, and does not give way to another one.
    if (!fault.isMissing) return failed("appliers/handler-refused", `${file} ${fault.because}`);
  }
  return failed("appliers/handler-missing", `no handler ${name} in ${folders.join(" or ")}`);
}

function failed(code: string, message: string): Failed {
  return { status: "failed", code, message, changed: [] };
}
