import { closeSync, openSync, readFileSync, readSync } from "node:fs";

/** One byte before the end of a piece may begin what goes on in the next. */
const pieceBytes = 4 * 1024 * 1024;

/**
 * Counts where these bytes stand in the memory of another process: all that a core dump would hold, read while it lives.
 * The process has to be a child of this one, or this one root (ptrace(2)).
 */
export function occurrencesInMemory(pid: number, needles: readonly Buffer[]): number {
  const memory = openSync(`/proc/${pid}/mem`, "r");
  const overlap = Math.max(...needles.map(({ length }) => length)) - 1;
  let found = 0;
  try {
    for (const { from, to } of writableRegions(pid)) {
      for (let at = from; at < to; at += pieceBytes) {
        const piece = read(memory, at, Math.min(pieceBytes + overlap, to - at));
        found += needles.reduce((sum, needle) => sum + occurrences(piece, needle), 0);
      }
    }
  } finally {
    closeSync(memory);
  }
  return found;
}

/** proc_pid_maps(5): `7f0c…-7f0d… rw-p …`. What cannot be written is code and constants from files; long addresses are the kernel's. */
function writableRegions(pid: number): readonly { readonly from: number; readonly to: number }[] {
  return readFileSync(`/proc/${pid}/maps`, "utf8")
    .split("\n")
    .flatMap((line) => {
      const [, from = "", to = ""] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? [];
      const isOurs = from !== "" && from.length <= 12 && !/\[v/.test(line);
      return isOurs ? [{ from: Number.parseInt(from, 16), to: Number.parseInt(to, 16) }] : [];
    });
}

function read(memory: number, at: number, bytes: number): Buffer {
  const piece = Buffer.alloc(bytes);
  try {
    return piece.subarray(0, readSync(memory, piece, 0, bytes, at));
  } catch {
    // A guard page, or a region that went away meanwhile.
    return Buffer.alloc(0);
  }
}

function occurrences(piece: Buffer, needle: Buffer): number {
  let count = 0;
  for (let at = piece.indexOf(needle); at !== -1; at = piece.indexOf(needle, at + 1)) count++;
  return count;
}
