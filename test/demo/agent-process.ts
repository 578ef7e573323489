import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DemoFailure } from "./failure.ts";

interface AgentFiles {
  readonly configFile: string;
  readonly stateDirectory: string;
}

const program = join(import.meta.dirname, "../../src/main.ts");

/** A stop that takes longer is a failure. */
const stopWithinMs = 5_000;

/** One run of `latebind run`, a process of its own as under systemd. */
export class AgentProcess {
  /** Settles when the process is gone. */
  readonly ended: Promise<{ readonly exitCode: number | null; readonly signal: string | null }>;
  readonly #child: ChildProcess;
  readonly #log: string[] = [];
  #isToEnd = false;

  constructor({ configFile, stateDirectory }: AgentFiles, onLog: (line: string) => void) {
    this.#child = spawn(process.execPath, [program, "run", "--config", configFile], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: process.env["PATH"], STATE_DIRECTORY: stateDirectory },
    });
    const keep = (line: string): void => {
      this.#log.push(line);
      onLog(line);
    };
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      if (stream !== null) createInterface({ input: stream }).on("line", keep);
    }
    this.ended = once(this.#child, "close").then(() => ({
      exitCode: this.#child.exitCode,
      signal: this.#child.signalCode,
    }));
  }

  /** The newest lines of its log. */
  log(lines: number): readonly string[] {
    return this.#log.slice(-lines);
  }

  /** @throws DemoFailure as soon as the process ends without having been told to. */
  async endsUnasked(): Promise<never> {
    const { exitCode, signal } = await this.ended;
    if (this.#isToEnd) return new Promise<never>(() => {});
    throw new DemoFailure("the agent keeps running", [
      exitCode === null ? `it was ended by ${signal}` : `it ended with exit code ${exitCode}`,
    ]);
  }

  /**
   * Sends SIGTERM, as systemd does, and waits for the end.
   * @throws DemoFailure when the exit code is not 0, or nothing happened within 5 s.
   */
  async stop(): Promise<void> {
    this.#isToEnd = true;
    this.#child.kill("SIGTERM");
    const tooLong = setTimeout(() => this.#child.kill("SIGKILL"), stopWithinMs);
    const { exitCode } = await this.ended;
    clearTimeout(tooLong);
    if (exitCode === 0) return;
    const how = exitCode === null ? `it had to be killed after ${stopWithinMs} ms` : `exit code ${exitCode}`;
    throw new DemoFailure("the agent ends with exit code 0 within 5 s of SIGTERM", [how]);
  }

  async kill(): Promise<void> {
    this.#isToEnd = true;
    this.#child.kill("SIGKILL");
    await this.ended;
  }
}
