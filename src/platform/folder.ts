import { constants } from "node:fs";
import { open, readlink, type FileHandle } from "node:fs/promises";
import { join } from "node:path";

/** A folder held open: what is done below it happens there, even if its path is exchanged meanwhile. */
export interface Folder extends AsyncDisposable {
  /** The path of an entry that leads through the open folder; for system calls, not for messages. */
  entry(name: string): string;
}

/**
 * Opens a folder by its real path: no part of it may be a symbolic link.
 *
 * Node has no openat(2); the kernel's link to the open descriptor does the same (proc_pid_fd(5)).
 * @returns where the path really leads when a link is in it.
 * @throws the system's error (`ENOENT`, `ENOTDIR`, `EACCES`, …).
 */
export async function openFolder(path: string): Promise<Folder | { readonly leadsTo: string }> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  const viaDescriptor = `/proc/self/fd/${handle.fd}`;
  const realPath = await closingOnError(handle, async () => readlink(viaDescriptor));
  if (realPath !== path) {
    await handle.close();
    return { leadsTo: realPath };
  }
  return {
    entry: (name) => join(viaDescriptor, name),
    [Symbol.asyncDispose]: async () => handle.close(),
  };
}

async function closingOnError<T>(handle: FileHandle, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await handle.close();
    throw error;
  }
}
