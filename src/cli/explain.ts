import { readJournal, type JournalEntry } from "../agent/journal.ts";
import { tellStory } from "../agent/story.ts";
import { systemCode } from "../platform/failure.ts";
import { exitCode } from "./exit-code.ts";
import type { CliIo } from "./io.ts";

export interface ExplainOptions {
  readonly json?: boolean;
  /** How many entries, the newest; all where absent. */
  readonly last?: string;
}

/** `latebind explain`: what the agent met and decided, from its journal in the state directory; works without a running agent. */
export function explainJournal(stateDirectory: string, { json, last }: ExplainOptions, io: CliIo): number {
  const count = last === undefined ? Infinity : Number(last);
  if (!(count >= 1)) {
    io.stderr(`--last ${last}: expected how many entries to tell, 1 or more\n`);
    return exitCode.usage;
  }
  let entries: readonly JournalEntry[];
  try {
    entries = readJournal(stateDirectory).slice(-count);
  } catch (error) {
    if (systemCode(error) === "") throw error;
    io.stderr(
      `cannot read the journal in ${stateDirectory} (${systemCode(error)}). Run this as root or as the user of the service\n`,
    );
    return exitCode.failure;
  }
  if (json === true) io.stdout(`${JSON.stringify(entries, undefined, 2)}\n`);
  else if (entries.length === 0) io.stdout(`Nothing is in the journal in ${stateDirectory} yet.\n`);
  else
    io.stdout(
      tellStory(entries)
        .map((line) => `${line}\n`)
        .join(""),
    );
  return exitCode.ok;
}
