import { lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { AgentError, systemCode } from "./failure.ts";

/**
 * Where secrets may lie for a moment: a memory file system, so that they never reach a disk. systemd's `RuntimeDirectory=`, or else
 * the shared memory that every Linux has.
 */
export function memoryDirectory(env: Readonly<Record<string, string | undefined>>): string {
  const [first = ""] = (env["RUNTIME_DIRECTORY"] ?? "").split(":");
  return first === "" ? "/dev/shm" : first;
}

/** A folder for one piece of work that only this user may enter. Disposing it removes it with everything in it. */
export class WorkFolder implements Disposable {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** @throws AgentError `platform/work-folder-not-made` (retry): no such parent, no permission, no space. */
  static async make(parent: string, prefix: string): Promise<WorkFolder> {
    try {
      mkdirSync(parent, { recursive: true, mode: 0o700 });
      // mkdtemp makes it with mode 0700. The process ID says whom it belongs to when it is found later.
      return new WorkFolder(await mkdtemp(join(parent, `${prefix}${process.pid}-`)));
    } catch (error) {
      throw new AgentError(
        "platform/work-folder-not-made",
        "retry",
        `cannot make a folder in ${parent} (${systemCode(error)}). Check its mode, owner and free space`,
        { cause: error },
      );
    }
  }

  has(name: string): boolean {
    return statSync(join(this.path, name), { throwIfNoEntry: false }) !== undefined;
  }

  read(name: string): Buffer {
    return readFileSync(join(this.path, name));
  }

  /** @throws AgentError `platform/work-folder-not-made` (retry): no space. */
  write(name: string, content: Uint8Array | string): void {
    try {
      writeFileSync(join(this.path, name), content, { mode: 0o600 });
    } catch (error) {
      throw new AgentError(
        "platform/work-folder-not-made",
        "retry",
        `cannot write into ${this.path} (${systemCode(error)}). Check the free space there`,
        { cause: error },
      );
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** Folders that `WorkFolder.make` made for processes of this user that have ended without removing them. */
export function abandonedWorkFolders(parent: string, prefix: string): readonly WorkFolder[] {
  return namesIn(parent).flatMap((name) => {
    const owner = name.startsWith(prefix) ? /^(\d+)-\w+$/.exec(name.slice(prefix.length))?.[1] : undefined;
    const path = join(parent, name);
    if (owner === undefined || isRunning(Number(owner))) return [];
    return isOwnFolder(path) ? [new WorkFolder(path)] : [];
  });
}

/** In shared memory everybody can lay down such a name: a symbolic link, a folder of theirs, a file. */
function isOwnFolder(path: string): boolean {
  try {
    const stat = lstatSync(path);
    return stat.isDirectory() && stat.uid === process.getuid?.() && (stat.mode & 0o777) === 0o700;
  } catch {
    return false;
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) !== "ESRCH";
  }
}
