import * as v from "valibot";
import type { FileRule } from "../config/config.ts";
import { AgentError } from "../platform/failure.ts";
import { canonicalJson, type Json } from "../platform/json.ts";
import { runCommand } from "../platform/run-command.ts";
import type { Applier, Kept, Outcome, Step } from "./applier.ts";
import { renderFile } from "./format/render-file.ts";
import { compareTarget, putBack, readTarget, writeTarget, type Failed, type Found } from "./write-target.ts";

type FileStep = Step &
  (
    | { readonly do: "write"; readonly content: string }
    | { readonly do: "run"; readonly command: readonly [string, ...string[]] }
  );

/** What stood at the target, as it goes through JSON. */
const keptFile = v.variant("kind", [
  v.object({ kind: v.literal("missing") }),
  v.object({
    kind: v.literal("file"),
    content: v.pipe(
      v.string(),
      v.transform((text) => Buffer.from(text, "base64")),
    ),
    mode: v.number(),
    uid: v.number(),
    gid: v.number(),
  }),
]);

/** Of what is kept while a command decides. Larger files are not put back. */
const maxKeptBytes = 1024 * 1024;

/**
 * Writes a property to a file, atomically, and runs a command afterwards.
 *
 * A file that has the content, mode and owner already is not written. The command runs whenever the value is new to the agent's
 * memory, even if the file looks right: a kill between write and command must not lose the command. When the command fails,
 * the file becomes what it was, the command runs once more for that, and the property has failed; both are tried again later.
 * When desired no longer has the property, the file stays as it is.
 *
 * Failures by code: `appliers/command-failed`, those of `runCommand` and of `writeTarget`.
 */
export function createFileApplier(rule: FileRule): Applier {
  const applier: Applier<string, FileStep> = {
    fingerprint: canonicalJson({
      file: rule.file,
      format: rule.format,
      template: rule.template?.text ?? null,
      mode: rule.mode,
      owner: rule.owner === undefined ? null : [rule.owner.user, rule.owner.group ?? null],
      command: rule.command ?? null,
    }),
    isDurable: true,
    parse: async (value) => renderFile(rule, rule.property, value),
    plan: (content) => [
      { do: "write", says: `write ${rule.file} as ${rule.format}, mode ${octal(rule.mode)}`, content },
      ...(rule.command === undefined
        ? []
        : [{ do: "run", says: `run ${rule.command.join(" ")}`, command: rule.command } as const]),
    ],
    execute: async (steps, signal) => execute(rule, steps, signal),
    keep: async () => keep(rule),
    restore: async (kept, _, signal) => restore(rule, kept, signal),
    findDrift: async (steps) => findDrift(rule, steps),
  };
  return applier;
}

async function execute(rule: FileRule, steps: readonly FileStep[], signal: AbortSignal): Promise<Outcome> {
  const changed: string[] = [];
  let before: Found | undefined;
  for (const step of steps) {
    signal.throwIfAborted();
    switch (step.do) {
      case "write": {
        const read = rule.command === undefined ? undefined : await readTarget(rule, maxKeptBytes);
        if (read?.status === "failed") return { ...read, changed };
        const written = await writeTarget(rule, step.content);
        if (written.status === "failed") return { ...written, changed };
        if (written.status === "same") break;
        before = read?.found;
        changed.push(rule.file);
        break;
      }
      case "run": {
        const failure = await run(step.command, rule.timeoutMs, signal);
        if (failure !== undefined)
          return { ...failure, changed: await undo(rule, before, step.command, signal) };
        changed.push(`ran ${step.command[0]}`);
        break;
      }
    }
  }
  return changed.length === 0 ? { status: "unchanged" } : { status: "applied", changed };
}

async function keep(rule: FileRule): Promise<Kept> {
  const read = await readTarget(rule, maxKeptBytes);
  if (read.status === "failed") return read;
  const { found } = read;
  if (found.kind === "missing") return { status: "kept", kept: { kind: "missing" } };
  if (found.content === undefined) {
    const message = `${rule.file} is larger than 1 MiB, too large to be kept until the change is confirmed`;
    return { status: "failed", code: "appliers/not-kept", message };
  }
  const { content, mode, uid, gid } = found;
  return { status: "kept", kept: { kind: "file", content: content.toString("base64"), mode, uid, gid } };
}

async function restore(rule: FileRule, kept: Json, signal: AbortSignal): Promise<Outcome> {
  signal.throwIfAborted();
  const before = v.safeParse(keptFile, kept);
  if (!before.success)
    return { status: "failed", code: "appliers/not-kept", message: "what was kept cannot be read" };
  const put = await putBack(rule, before.output);
  if (put.status === "failed") return put;
  const { command } = rule;
  const failure = command === undefined ? undefined : await run(command, rule.timeoutMs, signal);
  return failure ?? { status: "applied", changed: [rule.file] };
}

async function findDrift(rule: FileRule, steps: readonly FileStep[]): Promise<readonly string[]> {
  for (const step of steps) if (step.do === "write") return compareTarget(rule, step.content);
  return [];
}

/** @returns what is still different from before the write. */
async function undo(
  rule: FileRule,
  before: Found | undefined,
  command: readonly [string, ...string[]],
  signal: AbortSignal,
): Promise<readonly string[]> {
  if (before === undefined) return [];
  const isKept = before.kind === "missing" || before.content !== undefined;
  if (!isKept || (await putBack(rule, before)).status === "failed") return [rule.file];
  if (before.kind === "missing") return [];
  const failure = await run(command, rule.timeoutMs, signal);
  return failure === undefined ? [] : [`${command[0]} failed for the previous file too`];
}

async function run(
  [file, ...args]: readonly [string, ...string[]],
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Failed | undefined> {
  try {
    const result = await runCommand({ file, args, timeoutMs, maxOutputBytes: 64 * 1024 }, signal);
    if (result.exitCode === 0) return undefined;
    const detail = result.lastStderrLine === "" ? "" : `: ${result.lastStderrLine}`;
    const message = `${file} exited with ${result.exitCode}${detail}`;
    return { status: "failed", code: "appliers/command-failed", message };
  } catch (error) {
    if (signal.aborted || !(error instanceof AgentError)) throw error;
    return { status: "failed", code: error.code, message: error.message };
  }
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}
