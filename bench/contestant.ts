import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { installation } from "./installation.ts";

/** Flags of the packaged service, for all alike: a small young generation keeps bursts from staying resident. */
const nodeFlags = ["--max-semi-space-size=1"];

/** How long a contestant may take for what is expected of it. */
const patienceMs = 20_000;

/** A program under measurement. Says what it has reached by lines on stdout. */
export class Contestant implements AsyncDisposable {
  readonly startedAtMs: number;
  readonly #child: ChildProcessByStdio<null, Readable, null>;
  readonly #lines: string[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(args: readonly string[], env: Readonly<Record<string, string>>) {
    this.startedAtMs = performance.now();
    this.#child = spawn(installation.node, [...nodeFlags, ...args], {
      env: { PATH: "/usr/bin:/bin", ...env },
      stdio: ["ignore", "pipe", "inherit"],
    });
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      this.#lines.push(line);
      for (const look of this.#waiting) look();
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Waits for the next line with these words. @returns when it came, on the clock of `startedAtMs`. */
  async said(words: string): Promise<number> {
    await this.heard(words);
    return performance.now();
  }

  /** Waits for the next line with these words; lines before it count as read. @returns that line. */
  async heard(words: string): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const look = () => {
      const at = this.#lines.findIndex((line) => line.includes(words));
      if (at === -1) return;
      const line = this.#lines[at] ?? "";
      this.#lines.splice(0, at + 1);
      resolve(line);
    };
    const giveUp = (why: string) => {
      const heard = this.#lines.join("\n");
      reject(new Error(`no "${words}" from ${this.#child.spawnargs.join(" ")}: ${why}\n${heard}`));
    };
    const timer = setTimeout(giveUp, patienceMs, `not within ${patienceMs / 1000} s`);
    const onExit = (code: number | null) => {
      giveUp(`exited with ${String(code)}`);
    };
    this.#child.once("exit", onExit);
    this.#waiting.add(look);
    try {
      look();
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#child.off("exit", onExit);
      this.#waiting.delete(look);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGTERM");
    await exited;
  }
}
