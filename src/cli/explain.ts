import { readJournal, type JournalEntry } from "../agent/journal.ts";
import { parseHistory, type StoredHistory } from "../agent/stored-history.ts";
import { tellStanding, tellStory } from "../agent/story.ts";
import { systemCode } from "../platform/failure.ts";
import { peekStore } from "../platform/store.ts";
import type { Clock } from "../platform/time.ts";
import { exitCode } from "./exit-code.ts";
import type { CliIo } from "./io.ts";
import { printable, printableJson } from "./printable.ts";

export interface ExplainOptions {
  readonly json?: boolean;
  /** How many entries, the newest; all where absent. */
  readonly last?: string;
}

/** `latebind explain`: what the agent met and decided, from its journal in the state directory; works without a running agent. */
export function explainJournal(
  stateDirectory: string,
  { json, last }: ExplainOptions,
  clock: Pick<Clock, "now">,
  io: CliIo,
): number {
  const count = last === undefined ? Infinity : Number(last);
  if (!(count >= 1)) {
    io.stderr(`--last ${last}: expected how many entries to tell, 1 or more\n`);
    return exitCode.usage;
  }
  let entries: readonly JournalEntry[];
  let stored: StoredHistory | undefined;
  try {
    entries = readJournal(stateDirectory).slice(-count);
    stored = peekStore(stateDirectory, "history", parseHistory);
  } catch (error) {
    if (systemCode(error) === "") throw error;
    io.stderr(
      `cannot read the journal in ${stateDirectory} (${systemCode(error)}). Run this as root or as the user of the service\n`,
    );
    return exitCode.failure;
  }
  if (json === true) {
    io.stdout(printableJson(entries));
    return exitCode.ok;
  }
  if (entries.length === 0) io.stdout(`Nothing is in the journal in ${stateDirectory} yet.\n`);
  const nowMs = Math.max(clock.now(), stored?.atMs ?? 0);
  const standing = stored === undefined ? [] : ["", ...tellStanding(stored.history, nowMs)];
  for (const line of [...tellStory(entries), ...standing]) io.stdout(`${printable(line)}\n`);
  return exitCode.ok;
}
