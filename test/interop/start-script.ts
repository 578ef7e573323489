import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";

/** One line of what a script tells: `event` and its facts. */
type Told = Readonly<Record<string, unknown>>;

/** The running child process; disposing of it kills what still runs. */
export interface Script extends AsyncDisposable {
  /** Reads on until this event is told. @throws Error with what was told instead when the process ends before. */
  until(event: string): Promise<Told>;
  /** Writes a line to its stdin. */
  say(line: string): void;
  readonly exitCode: Promise<number>;
}

/** Starts one of this folder's scripts: a process of its own with Azure's packages in it and nothing of ours. */
export function startScript(file: string, env: Readonly<Record<string, string>>): Script {
  const child = spawn(process.execPath, [join(import.meta.dirname, file)], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { PATH: process.env["PATH"], ...env },
  });
  const stderr = text(child.stderr);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = once(child, "exit");
  const seen: string[] = [];
  return {
    async until(event) {
      for (;;) {
        const line = await lines.next();
        if (line.done === true)
          throw new Error(`the device ended without "${event}":\n${seen.join("\n")}\n${await stderr}`);
        seen.push(line.value);
        const told: unknown = JSON.parse(line.value);
        if (isTold(told) && told["event"] === event) return told;
      }
    },
    say: (line) => void child.stdin.write(`${line}\n`),
    exitCode: ended.then(([code]) => Number(code)),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

function isTold(value: unknown): value is Told {
  return typeof value === "object" && value !== null;
}
