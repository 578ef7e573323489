import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/** Stamped into the bundle: milliseconds since 1970. */
declare const builtIntoBundleAtMs: number | undefined;

/** Moments that have certainly passed, milliseconds since 1970. */
export interface KnownTime {
  readonly builtAtMs: number;
  /** When something in the state directory was last written, by the clock of that time; absent on a new device. */
  readonly storedAtMs?: number;
}

/** Asks the files; nothing is thrown, because a directory that cannot be read knows nothing. */
export function knownTime(stateDirectory: string): KnownTime {
  const storedAtMs = Math.max(...fileTimes(stateDirectory));
  return { builtAtMs: builtAtMs(), ...(storedAtMs > 0 && { storedAtMs }) };
}

function builtAtMs(): number {
  if (typeof builtIntoBundleAtMs === "number") return builtIntoBundleAtMs;
  // In a working copy: when the program was last changed.
  return modifiedAtMs(process.argv[1] ?? "");
}

function fileTimes(directory: string): readonly number[] {
  try {
    return readdirSync(directory).map((name) => modifiedAtMs(join(directory, name)));
  } catch {
    return [];
  }
}

function modifiedAtMs(path: string): number {
  try {
    return statSync(path).mtimeMs;
  } catch {
    return 0;
  }
}
