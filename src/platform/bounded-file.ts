import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { systemCode } from "./failure.ts";

/** What came of reading a file whose content nobody vouches for; everything but `read` is for the caller to explain. */
export type BoundedFile =
  | { readonly status: "read"; readonly content: Buffer }
  | { readonly status: "missing" }
  /** A folder, a device, a pipe, … */
  | { readonly status: "not-a-file" }
  | { readonly status: "too-large" }
  | { readonly status: "unreadable"; readonly systemCode: string };

/** A pipe without a writer would hold the opening up for ever, and a terminal would become ours. */
const openFlags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
const chunkBytes = 64 * 1024;

/** Reads a regular file of at most so many bytes, by a symbolic link too. Neither blocks nor reads more, whatever stands there. */
export function readBoundedFile(path: string, maxBytes: number): BoundedFile {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, openFlags);
    const stat = fstatSync(descriptor);
    if (!stat.isFile()) return { status: "not-a-file" };
    if (stat.size > maxBytes) return { status: "too-large" };
    return readAll(descriptor, maxBytes);
  } catch (error) {
    const code = systemCode(error);
    if (code === "ENOENT") return { status: "missing" };
    if (code === "ENXIO") return { status: "not-a-file" }; // a socket
    if (code === "") throw error;
    return { status: "unreadable", systemCode: code };
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** The size is no promise: it may grow meanwhile, and files of /proc say 0. */
function readAll(descriptor: number, maxBytes: number): BoundedFile {
  const chunks: Buffer[] = [];
  for (let bytes = 0; ;) {
    const chunk = Buffer.alloc(chunkBytes);
    const count = readSync(descriptor, chunk);
    if (count === 0) return { status: "read", content: Buffer.concat(chunks) };
    bytes += count;
    if (bytes > maxBytes) return { status: "too-large" };
    chunks.push(chunk.subarray(0, count));
  }
}
