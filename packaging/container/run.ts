import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { promisify } from "node:util";

/** Runs a program to its end. @throws what it wrote to standard error, where it fails. */
export async function run(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { stdout } = await promisify(execFile)(file, args, { env: { ...process.env, ...env } });
  return stdout;
}

/** A program that stays; it is told to stop, and waited for, at the end of its scope. */
export class Daemon implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly exited: Promise<number>;

  constructor(
    file: string,
    args: readonly string[],
    options: { readonly env?: NodeJS.ProcessEnv; readonly stderr?: "ignore" | "inherit" },
  ) {
    const { env = process.env, stderr = "inherit" } = options;
    this.child = spawn(file, args, { env, stdio: ["ignore", "inherit", stderr] });
    this.exited = once(this.child, "exit").then(() => this.child.exitCode ?? 1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGTERM");
    await this.exited;
  }
}
