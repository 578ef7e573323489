import type { Readable } from "node:stream";

/** Reads a stream to its end and keeps the first bytes. Ask when it has ended. */
export function keepStart(
  stream: Readable | null,
  maxBytes: number,
): () => { readonly text: string; readonly isTruncated: boolean } {
  const kept: Buffer[] = [];
  let room = maxBytes;
  let isTruncated = false;
  read(stream, (chunk) => {
    isTruncated ||= chunk.length > room;
    if (room > 0) kept.push(chunk.subarray(0, room));
    room = Math.max(0, room - chunk.length);
  });
  return () => ({ text: Buffer.concat(kept).toString("utf8"), isTruncated });
}

/** Reads a stream to its end and keeps the last bytes. Ask when it has ended. */
export function keepEnd(stream: Readable | null, maxBytes: number): () => string {
  const kept: Buffer[] = [];
  let total = 0;
  read(stream, (chunk) => {
    kept.push(chunk);
    total += chunk.length;
    for (let first = kept[0]; first !== undefined && total - first.length >= maxBytes; first = kept[0]) {
      total -= first.length;
      kept.shift();
    }
  });
  return () => {
    const all = Buffer.concat(kept);
    return all.subarray(Math.max(0, all.length - maxBytes)).toString("utf8");
  };
}

/** The last line that is not empty, trimmed; "" where there is none. */
export function lastLine(text: string): string {
  return (
    text
      .split("\n")
      .map((line) => line.trim())
      .findLast((line) => line !== "") ?? ""
  );
}

function read(stream: Readable | null, take: (chunk: Buffer) => void): void {
  // A pipe that breaks while the program is being killed is no news.
  stream?.on("error", () => {});
  stream?.on("data", take);
}
