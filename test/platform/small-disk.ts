import { spawnSync } from "node:child_process";
import {
  closeSync,
  mkdirSync,
  openSync,
  rmSync,
  statfsSync,
  writeSync,
  existsSync,
  writeFileSync,
} from "node:fs";
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
    const file = openSync(join(this.path, "filler"), "a");
    const block = Buffer.alloc(512);
    try {
      while (statfsSync(this.path).bavail > 0) writeSync(file, block);
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
    } finally {
      closeSync(file);
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
