import { constants, lstatSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, open, rename, unlink, type FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { systemCode } from "./failure.ts";

export interface FileAttributes {
  /** Permission bits, for example `0o640`. */
  readonly mode: number;
  /** Owner; left as the running user where absent. */
  readonly uid?: number;
  readonly gid?: number;
}

/**
 * Replaces a file so that a reader or a power cut sees the old content or the new one, never half of either:
 * temporary file in the same folder, fsync, rename, fsync of the folder.
 * @throws the system's error (`EACCES`, `ENOSPC`, …); the temporary file is gone then and the old content stands.
 */
export async function writeFileAtomically(
  path: string,
  content: string | Uint8Array,
  attributes: FileAttributes,
): Promise<void> {
  // A fixed name, so that what a SIGKILL left behind goes with the next write. Removed first and opened with O_EXCL: whatever
  // somebody else laid there is not followed.
  const temporary = join(dirname(path), `.${basename(path)}.latebind-tmp`);
  await removeIfPresent(temporary);
  try {
    const handle = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
    try {
      await fill(handle, content, attributes);
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await removeIfPresent(temporary);
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** Removes a file; nothing happens where there is none. */
export async function removeIfPresent(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error;
  }
}

async function fill(
  handle: FileHandle,
  content: string | Uint8Array,
  attributes: FileAttributes,
): Promise<void> {
  await handle.writeFile(content);
  // chown before chmod: a change of owner clears set-id bits.
  if (attributes.uid !== undefined || attributes.gid !== undefined) {
    await handle.chown(attributes.uid ?? -1, attributes.gid ?? -1);
  }
  await handle.chmod(attributes.mode);
  await handle.sync();
}

/** Makes a rename in this folder survive a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

// Small local files are read at once: handing each to a thread and waiting for it takes many times longer than reading it.

/** The file's bytes, or undefined where there is no such file. Other errors are thrown. */
export async function readIfPresent(path: string): Promise<Buffer | undefined> {
  try {
    return readFileSync(path);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Names in a folder, sorted by their bytes; none where there is no such folder. Other errors are thrown. */
export async function listDirectory(path: string): Promise<readonly string[]> {
  try {
    return readdirSync(path).toSorted();
  } catch (error) {
    if (systemCode(error) === "ENOENT") return [];
    throw error;
  }
}

/** What stands at a path, without following a symbolic link; undefined where there is nothing. */
export async function describePath(path: string): Promise<
  | {
      readonly kind: "file" | "directory" | "other";
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    }
  | undefined
> {
  try {
    const stat = lstatSync(path);
    const kind = stat.isFile() ? "file" : stat.isDirectory() ? "directory" : "other";
    return { kind, mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid };
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

export async function makeDirectory(path: string, mode: number): Promise<void> {
  await mkdir(path, { recursive: true, mode });
}
