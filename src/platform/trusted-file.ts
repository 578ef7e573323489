import { constants } from "node:fs";
import { lstat, open } from "node:fs/promises";
import { dirname } from "node:path";
import { systemCode } from "./failure.ts";

/** What speaks against trusting a file; completes "PATH …". */
export type FileFault = { readonly isMissing: boolean; readonly because: string };

/** Whether only root decides what this program is, as `findFileFault` says, and it may be executed. */
export async function findProgramFault(path: string): Promise<FileFault | undefined> {
  return lookAt(path, true);
}

/**
 * Whether only root decides what is in this file: a regular file of root's that nobody else may write, in folders of which the same is
 * true up to `/`. Once that holds, nobody but root can exchange it between this look and its use.
 * @returns undefined when it can be trusted.
 */
export async function findFileFault(path: string): Promise<FileFault | undefined> {
  return lookAt(path, false);
}

async function lookAt(path: string, isProgram: boolean): Promise<FileFault | undefined> {
  try {
    await using handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stat = await handle.stat();
    if (!stat.isFile()) return fault("is not a regular file");
    if (stat.uid !== 0) return fault(`belongs to user ${stat.uid}; run: chown root:root ${path}`);
    if ((stat.mode & 0o022) !== 0)
      return fault(`may be written by others than root; run: chmod go-w ${path}`);
    if (isProgram && (stat.mode & 0o111) === 0) return fault(`may not be executed; run: chmod 0755 ${path}`);
    return await findFolderFault(dirname(path));
  } catch (error) {
    switch (systemCode(error)) {
      case "ENOENT":
      case "ENOTDIR":
        return { isMissing: true, because: "does not exist" };
      case "ELOOP":
        return fault("is a symbolic link; put the file itself there");
      case "":
        throw error;
      default:
        return fault(`cannot be opened (${systemCode(error)})`);
    }
  }
}

/** The same of a folder and all above it. In one with the sticky bit, others may write: they cannot rename what is root's. */
export async function findFolderFault(folder: string): Promise<FileFault | undefined> {
  const stat = await lstat(folder);
  if (stat.isSymbolicLink()) return fault(`is in ${folder}, which is a symbolic link`);
  if (stat.uid !== 0) return fault(`is in ${folder}, which belongs to user ${stat.uid} and not to root`);
  if ((stat.mode & 0o022) !== 0 && (stat.mode & 0o1000) === 0)
    return fault(`is in ${folder}, where others than root may write; run: chmod go-w ${folder}`);
  return folder === "/" ? undefined : findFolderFault(dirname(folder));
}

function fault(because: string): FileFault {
  return { isMissing: false, because };
}
