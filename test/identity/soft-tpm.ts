import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { Tpm, type TpmSettings } from "../../src/identity/tpm/tpm.ts";

const run = promisify(execFile);

/** A software TPM of its own, blank at first; its state outlives a loss of power. */
export class SoftTpm implements AsyncDisposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "latebind-tpm-test-"));
  #process: ChildProcess | undefined;

  private constructor() {
    mkdirSync(this.workDirectory);
  }

  /** @param prepare makes what is in the TPM before it is first switched on, in its folder. */
  static async start(prepare?: (folder: string) => Promise<void>): Promise<SoftTpm> {
    const tpm = new SoftTpm();
    await prepare?.(tpm.folder);
    await tpm.powerOn();
    return tpm;
  }

  get tcti(): string {
    return `swtpm:path=${this.folder}/socket`;
  }

  /** Where the agent's work folders come and go; empty when nothing runs. */
  get workDirectory(): string {
    return join(this.folder, "work");
  }

  leftovers(): readonly string[] {
    return readdirSync(this.workDirectory).filter((name) => name !== "control.sock");
  }

  settings(more: Partial<TpmSettings> = {}): TpmSettings {
    return {
      tcti: this.tcti,
      ekTemplate: "tcg",
      ekHandle: "0x81010001",
      srkHandle: "0x81000001",
      ...more,
    };
  }

  open(more: Partial<TpmSettings> = {}): Tpm {
    return new Tpm(this.settings(more), { workDirectory: this.workDirectory });
  }

  /** Runs a tool as the operator would. @returns its standard output. */
  async tool(name: string, ...args: readonly string[]): Promise<string> {
    const stdout = await this.leave(name, ...args);
    if (name.startsWith("create") || name === "load") await this.leave("flushcontext", "-t");
    return stdout;
  }

  /** As `tool`, for one who does not clean up behind it. */
  async leave(name: string, ...args: readonly string[]): Promise<string> {
    const env = { ...process.env, TPM2TOOLS_TCTI: this.tcti, TSS2_LOG: "all+NONE" };
    const { stdout } = await run(`tpm2_${name}`, args, { env, cwd: this.folder });
    return stdout;
  }

  /** All that is in the TPM: `persistent`, `transient`, `loaded-session`, `saved-session`. */
  async handles(kind: string): Promise<readonly string[]> {
    const listed = await this.tool("getcap", `handles-${kind}`);
    return listed.match(/0x[0-9A-Fa-f]+/g) ?? [];
  }

  async powerOff(): Promise<void> {
    const running = this.#process;
    if (running === undefined) return;
    const ended = once(running, "exit");
    running.kill("SIGKILL");
    await ended;
    this.#process = undefined;
  }

  async powerOn(): Promise<void> {
    const socket = join(this.folder, "socket");
    rmSync(socket, { force: true });
    const address = ["--server", `type=unixio,path=${socket}`, "--ctrl", `type=unixio,path=${socket}.ctrl`];
    const state = ["--tpmstate", `dir=${this.folder}`, "--flags", "not-need-init,startup-clear"];
    this.#process = spawn("swtpm", ["socket", "--tpm2", ...address, ...state], { stdio: "ignore" });
    while (!existsSync(socket) || !(await answers(`${socket}.ctrl`))) await delay(5);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.powerOff();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
