import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { systemCode } from "./failure.ts";

export type InspectedFile =
  | { readonly kind: "missing" }
  | { readonly kind: "symbolic-link" }
  /** A folder, a device, a socket, … */
  | { readonly kind: "not-regular" }
  | {
      readonly kind: "file";
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
      /** Absent where the file is larger than asked for. */
      readonly content?: Buffer;
    };

/**
 * What stands at a path, content included, seen through one descriptor: nobody can swap the file between look and read.
 * A symbolic link in the last part of the path is not followed, and a pipe does not block.
 * @throws the system's error (`EACCES`, `EIO`, …). A missing folder reads as `missing`.
 */
export async function inspectFile(path: string, maxBytes: number): Promise<InspectedFile> {
  try {
    await using handle = await open(
      path,
      constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY,
    );
    const stat = await handle.stat();
    if (!stat.isFile()) return { kind: "not-regular" };
    const attributes = { kind: "file", mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid } as const;
    return stat.size > maxBytes ? attributes : { ...attributes, content: await handle.readFile() };
  } catch (error) {
    switch (systemCode(error)) {
      case "ENOENT":
        return { kind: "missing" };
      case "ELOOP":
        return { kind: "symbolic-link" };
      case "ENXIO": // a socket cannot be opened
        return { kind: "not-regular" };
      default:
        throw error;
    }
  }
}
