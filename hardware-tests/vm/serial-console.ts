import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";

/** What one command of the shell wrote, both streams together, and how it ended. */
export interface ShellResult {
  readonly exitCode: number;
  readonly output: string;
}

/** The serial line of a machine with root's shell at its end. It outlives no start: each start opens another. */
export class SerialConsole implements Disposable {
  readonly #socket: Socket;
  readonly #wakers = new Set<() => void>();
  #text = "";
  #ended = false;

  /** @param path the UNIX socket on which the machine offers its line. */
  constructor(path: string) {
    this.#socket = connect(path);
    this.#socket.setEncoding("latin1").on("data", (chunk: string) => {
      this.#text += chunk;
      this.#wake();
    });
    // How a machine ends is told by its process.
    this.#socket.on("error", () => undefined);
    this.#socket.on("close", () => {
      this.#ended = true;
      this.#wake();
    });
  }

  /** Waits for the shell of a machine that boots, and makes it a silent one. @param prompt what it writes when it is ready. */
  async login(prompt: RegExp, timeoutMs: number): Promise<void> {
    await this.#until(prompt, timeoutMs, "the machine boots");
    const silence = "stty -echo cols 4096; export PS1= TERM=dumb; bind 'set enable-bracketed-paste off'";
    this.#socket.write(`${silence}\n`);
    await this.sh("true", 30_000);
  }

  /** Runs a command in root's shell, with nothing to read. @throws Error after the time, with what was written so far. */
  async sh(command: string, timeoutMs: number): Promise<ShellResult> {
    const mark = randomBytes(6).toString("hex");
    // The quotes keep an echoed command line from looking like its answer.
    this.#socket.write(`echo "<${mark}"">"; { ${command}\n} </dev/null; echo "<${mark}":$?">"\n`);
    const pattern = new RegExp(`<${mark}>\\r?\\n([^]*?)<${mark}:(\\d+)>`);
    const [, output = "", exitCode = ""] = await this.#until(pattern, timeoutMs, command);
    return { exitCode: Number(exitCode), output: output.replaceAll("\r", "").trim() };
  }

  /** For commands after which nobody answers. */
  say(line: string): void {
    this.#text = "";
    this.#socket.write(`${line}\n`);
  }

  async #until(pattern: RegExp, timeoutMs: number, what: string): Promise<RegExpExecArray> {
    const deadline = AbortSignal.timeout(timeoutMs);
    for (;;) {
      const found = pattern.exec(this.#text);
      if (found !== null) {
        this.#text = this.#text.slice(found.index + found[0].length);
        return found;
      }
      const tail = () => `${what}\n…${this.#text.slice(-2000)}`;
      if (this.#ended) throw new Error(`the machine has ended: ${tail()}`);
      if (deadline.aborted) throw new Error(`waited ${timeoutMs} ms in vain: ${tail()}`);
      await this.#news(deadline);
    }
  }

  async #news(deadline: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const wake = () => resolve(undefined);
    this.#wakers.add(wake);
    deadline.addEventListener("abort", wake, { once: true });
    await promise;
    deadline.removeEventListener("abort", wake);
    this.#wakers.delete(wake);
  }

  #wake(): void {
    for (const wake of this.#wakers) wake();
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
