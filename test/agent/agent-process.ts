import { spawn, type ChildProcess } from "node:child_process";
import { join, resolve } from "node:path";
import { readLine, type Gateway, type LogLine } from "./gateway.ts";

const main = resolve(import.meta.dirname, "../../src/main.ts");

interface Surroundings {
  /** A command that runs the agent in a world of its own: `["/usr/bin/unshare", "--net"]`. */
  readonly inside?: readonly string[];
  /** The bundle, where it is not to be the source. */
  readonly program?: string;
}

/** `latebind run` as a process of its own, on the files of a gateway. */
export class AgentProcess implements AsyncDisposable {
  readonly lines: LogLine[] = [];
  readonly exited: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  readonly #child: ChildProcess;
  readonly #watchers = new Set<() => void>();
  #raw = "";
  #hasExited = false;

  constructor(
    gateway: Gateway,
    environment: Readonly<Record<string, string>> = {},
    { inside = [], program = main }: Surroundings = {},
  ) {
    const config = join(gateway.folder, "etc", "config.toml");
    const [file, ...args] = [...inside, process.execPath, program, "run", "--config", config];
    this.#child = spawn(file, args, {
      env: { PATH: process.env["PATH"], STATE_DIRECTORY: gateway.stateDirectory, ...environment },
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
      this.#read(chunk);
    });
    this.exited = new Promise((done) => {
      this.#child.on("exit", (code, signal) => {
        this.#hasExited = true;
        this.#tell();
        done({ code, signal });
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Every byte that it wrote. */
  get output(): string {
    return this.#raw;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Waits for an event that comes `count` times. */
  async logged(event: string, count = 1): Promise<LogLine> {
    const found = () => this.lines.filter((line) => line.event === event);
    while (found().length < count) {
      if (this.#hasExited) throw new Error(`the agent ended without logging ${event}:\n${this.#raw}`);
      const { promise, resolve: wake } = Promise.withResolvers<undefined>();
      const watcher = () => wake(undefined);
      this.#watchers.add(watcher);
      await promise;
      this.#watchers.delete(watcher);
    }
    const line = found()[count - 1];
    if (line === undefined) throw new Error("unreachable");
    return line;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.exited;
  }

  #read(chunk: string): void {
    const before = this.#raw.lastIndexOf("\n") + 1;
    this.#raw += chunk;
    const end = this.#raw.lastIndexOf("\n");
    for (const line of this.#raw.slice(before, end + 1).split("\n"))
      if (line !== "") this.lines.push(readLine(line));
    this.#tell();
  }

  #tell(): void {
    for (const wake of this.#watchers) wake();
  }
}
