import { constants } from "node:fs";
import { lstat, open, readlink } from "node:fs/promises";
import { dirname, join } from "node:path";
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

/**
 * The same of a program as a person names it, such as /bin/sh: symbolic links are followed, and each link and the folder it lies in must
 * be root's alone too, so that nobody else decides where the name leads.
 */
export async function findCommandFault(path: string): Promise<FileFault | undefined> {
  try {
    const end = await follow(path);
    if (typeof end !== "string") return end;
    const found = await findProgramFault(end);
    return found === undefined || end === path
      ? found
      : { ...found, because: `leads to ${end}, which ${found.because}` };
  } catch (error) {
    return explain(error);
  }
}

/** Linux gives up at as many links. */
const mostLinks = 40;

/** Walks a path as the kernel does, through no folder and no link that somebody else may exchange. */
async function follow(path: string): Promise<string | FileFault> {
  const names = path.split("/");
  let at = "/";
  for (let links = 0; names.length > 0;) {
    const name = names.shift() ?? "";
    if (name === "" || name === ".") continue;
    const folderFault = await findFolderFault(at);
    if (folderFault !== undefined) return folderFault;
    const next = join(at, name);
    const stat = await lstat(next);
    if (!stat.isSymbolicLink()) {
      at = next;
      continue;
    }
    links += 1;
    if (links > mostLinks) return fault("leads through too many symbolic links");
    if (stat.uid !== 0) return fault(`leads through ${next}, a symbolic link of user ${stat.uid}`);
    const target = await readlink(next);
    names.unshift(...target.split("/"));
    if (target.startsWith("/")) at = "/";
  }
  return at;
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
    return explain(error);
  }
}

function explain(error: unknown): FileFault {
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
