import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { systemCode } from "./failure.ts";

/** What came of reading a file that must be private; everything but `read` is for the caller to explain. */
export type PrivateFile =
  | { readonly status: "read"; readonly content: Buffer }
  | { readonly status: "missing" }
  | { readonly status: "too-open"; readonly mode: number }
  | { readonly status: "foreign-owner"; readonly uid: number }
  | { readonly status: "not-a-file" }
  | { readonly status: "unreadable"; readonly systemCode: string };

const maxBytes = 64 * 1024;

/** A pipe without a writer would hold the opening up for ever, and a terminal would become ours. */
const openFlags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

/**
 * Reads a key file if nobody but its owner may read it and the owner is root or the running user.
 *
 * The checks are made on the opened file, so it cannot be exchanged between look and read.
 * `isCredential`: systemd's credentials directory grants the service user by an access list, which shows as a group bit
 * (systemd.exec(5), LoadCredential), so only the bits for others count there.
 */
export async function readPrivateFile(path: string, isCredential = false): Promise<PrivateFile> {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, openFlags);
    const stat = fstatSync(descriptor);
    if (!stat.isFile() || stat.size > maxBytes) return { status: "not-a-file" };
    const mode = stat.mode & 0o777;
    if ((mode & (isCredential ? 0o007 : 0o077)) !== 0) return { status: "too-open", mode };
    if (stat.uid !== 0 && stat.uid !== process.getuid?.()) return { status: "foreign-owner", uid: stat.uid };
    return { status: "read", content: readFileSync(descriptor) };
  } catch (error) {
    const code = systemCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return { status: "missing" };
    if (code === "ENXIO") return { status: "not-a-file" }; // a socket
    if (code === "") throw error;
    return { status: "unreadable", systemCode: code };
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
