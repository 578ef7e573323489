import { appendFileSync, closeSync, fstatSync, openSync, readFileSync, readSync, renameSync } from "node:fs";
import { join } from "node:path";
import { systemCode } from "./failure.ts";

/** Lines on disk in two files, of which the older goes when the newer is full: bounded, and one short append for each line. */
export interface LineRing {
  /**
   * Not synced: the last lines before a power cut may be lost, a torn one is skipped by the reader.
   * @throws the system's error (`ENOSPC`, `EROFS`, …).
   */
  append(line: string): void;
}

/**
 * Opens `NAME.jsonl` and `NAME.1.jsonl` in the directory.
 * @param mostBytes of each file, but for its last line.
 */
export function openLineRing(directory: string, name: string, mostBytes: number): LineRing {
  const { newer, older } = paths(directory, name);
  return {
    append(line) {
      const { bytes, isTorn } = endOf(newer);
      if (bytes >= mostBytes) renameSync(newer, older);
      appendFileSync(newer, `${isTorn && bytes < mostBytes ? "\n" : ""}${line}\n`, { mode: 0o600 });
    },
  };
}

/** All lines, the oldest first; none where there is no file yet. @throws the system's error (`EACCES`, …). */
export function readLineRing(directory: string, name: string): readonly string[] {
  const { newer, older } = paths(directory, name);
  return [older, newer].flatMap((path) => {
    try {
      return readFileSync(path, "utf8")
        .split("\n")
        .filter((line) => line !== "");
    } catch (error) {
      if (systemCode(error) === "ENOENT") return [];
      throw error;
    }
  });
}

function paths(directory: string, name: string): { readonly newer: string; readonly older: string } {
  return { newer: join(directory, `${name}.jsonl`), older: join(directory, `${name}.1.jsonl`) };
}

/** A power cut may have left half a line without its end. */
function endOf(path: string): { readonly bytes: number; readonly isTorn: boolean } {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    if (systemCode(error) === "ENOENT") return { bytes: 0, isTorn: false };
    throw error;
  }
  try {
    const { size } = fstatSync(file);
    const last = Buffer.alloc(1);
    if (size > 0) readSync(file, last, 0, 1, size - 1);
    return { bytes: size, isTorn: size > 0 && last.toString() !== "\n" };
  } finally {
    closeSync(file);
  }
}
