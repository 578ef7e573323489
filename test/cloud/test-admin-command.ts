import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

const admin = fileURLToPath(new URL("admin.ts", import.meta.url));

export interface CommandPlace {
  /** For `$LATEBIND_CLOUD`; left out: it is not set. */
  readonly url?: string;
  /** The folder for temporary files, where running clouds are looked for. */
  readonly temporary: string;
}

export interface CommandResult {
  readonly code: number | null;
  readonly printed: string;
  readonly complaint: string;
}

/** The admin command as a process of its own. */
export function startAdminCommand(
  words: readonly string[],
  { url, temporary }: CommandPlace,
): ChildProcessWithoutNullStreams {
  const { LATEBIND_CLOUD: _, ...inherited } = process.env;
  const env = { ...inherited, TMPDIR: temporary, ...(url === undefined ? {} : { LATEBIND_CLOUD: url }) };
  return spawn(process.execPath, [admin, ...words], { env });
}

/** @param input what it may read from standard input. */
export async function runAdminCommand(
  words: readonly string[],
  place: CommandPlace,
  input = "",
): Promise<CommandResult> {
  const child = startAdminCommand(words, place);
  child.stdin.end(input);
  const [printed, complaint] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close"),
  ]);
  return { code: child.exitCode, printed, complaint };
}
