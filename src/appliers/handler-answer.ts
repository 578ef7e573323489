import * as v from "valibot";
import { parseJson } from "../platform/json.ts";
import type { CommandResult } from "../platform/run-command.ts";
import type { Outcome } from "./applier.ts";

/** What the exit code of a handler says. 65 and 75 are EX_DATAERR and EX_TEMPFAIL of sysexits.h. */
const exitCodes = { applied: 0, unchanged: 10, rejected: 65, tryLater: 75 } as const;

const answer = v.object({
  /** What was touched. */
  changed: v.exactOptional(v.array(v.string())),
  /** Why the value is not legal, each with its path. */
  problems: v.exactOptional(v.array(v.string())),
  /** Why it failed. */
  message: v.exactOptional(v.string()),
});
type Answer = v.InferOutput<typeof answer>;

/** More would not fit into an acknowledgement. */
const maxTexts = 16;

/**
 * The outcome that a handler's exit code, standard output and last line of standard error stand for.
 *
 * Standard output is empty or one JSON object `{"changed": […], "problems": […], "message": "…"}`, each member optional. Exit codes: 0 applied,
 * 10 unchanged, 65 the value is not legal, 75 try later and nothing was touched, any other failed.
 *
 * Failures by code: `appliers/handler-failed`, `appliers/handler-busy` (75), `appliers/handler-output` (0 or 10 with an output that is no
 * such object).
 */
export function readHandlerAnswer(file: string, property: string, result: CommandResult): Outcome {
  const { exitCode, lastStderrLine } = result;
  const said = readAnswer(result);
  const reason = said?.message ?? lastStderrLine;
  const tail = reason === "" ? "" : `: ${reason}`;
  switch (exitCode) {
    case exitCodes.applied:
      return said === undefined
        ? malformed(file)
        : { status: "applied", changed: said.changed?.slice(0, maxTexts) ?? [`ran ${file}`] };
    case exitCodes.unchanged:
      return said === undefined ? malformed(file) : { status: "unchanged" };
    case exitCodes.rejected:
      return {
        status: "rejected",
        problems: said?.problems?.slice(0, maxTexts) ?? [`${property}: not legal${tail}`],
      };
    case exitCodes.tryLater:
      return {
        status: "failed",
        code: "appliers/handler-busy",
        message: `${file} asks to be called later${tail}`,
        changed: [],
      };
    default:
      return {
        status: "failed",
        code: "appliers/handler-failed",
        message: `${file} exited with ${exitCode}${tail}`,
      };
  }
}

/** @returns undefined where the output is not what is asked for. */
function readAnswer({ stdout, isStdoutTruncated }: CommandResult): Answer | undefined {
  if (stdout.trim() === "") return {};
  if (isStdoutTruncated) return undefined;
  const json = parseJson(Buffer.from(stdout));
  if (Array.isArray(json)) return undefined;
  const parsed = v.safeParse(answer, json);
  return parsed.success ? parsed.output : undefined;
}

function malformed(file: string): Outcome {
  const message = `${file} wrote something else to its standard output than one JSON object such as {"changed":["…"]}; logs belong on standard error`;
  return { status: "failed", code: "appliers/handler-output", message };
}
