import { spawnSync } from "node:child_process";
import { appendFileSync, mkdirSync, rmSync, statfsSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Why no disk can be mounted here; undefined where one can. */
export const whyNoMount: string | undefined = process.getuid?.() === 0 ? undefined : "only root may mount";

/** A disk of its own in memory, small enough to be filled. */
export class SmallDisk implements Disposable {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
    mkdirSync(path, { recursive: true });
    mount("-t", "tmpfs", "-o", "size=256k,nr_inodes=64,mode=0755", "tmpfs", path);
  }

  /** Takes every byte that is free. */
  fill(): void {
    const block = Buffer.alloc(512);
    try {
      while (statfsSync(this.path).bavail > 0) appendFileSync(join(this.path, "filler"), block);
    } catch (error) {
      // No room for the last block, or for the file.
      if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
    }
  }

  /** Takes every inode that is free: there is room, but not for one more file. */
  exhaustInodes(): void {
    mkdirSync(join(this.path, "fillers"), { recursive: true });
    for (let index = 0; statfsSync(this.path).ffree > 0; index += 1)
      writeFileSync(join(this.path, "fillers", String(index)), "");
  }

  setReadOnly(isReadOnly: boolean): void {
    mount("-o", `remount,${isReadOnly ? "ro" : "rw"}`, this.path);
  }

  /** Gives back what `fill` and `exhaustInodes` took. */
  free(): void {
    for (const name of ["filler", "fillers"])
      if (existsSync(join(this.path, name))) rmSync(join(this.path, name), { recursive: true });
  }

  [Symbol.dispose](): void {
    run("umount", "--lazy", this.path);
  }
}

function mount(...args: readonly string[]): void {
  run("mount", ...args);
}

function run(command: string, ...args: readonly string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr}`);
}
