import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { runApplyHelper } from "../../src/agent/apply-helper.ts";
import type { Applier } from "../../src/appliers/applier.ts";
import { createApplier } from "../../src/appliers/create-applier.ts";
import type { ApplyRule } from "../../src/config/config.ts";
import { loadConfig } from "../../src/config/load.ts";
import { ask } from "../../src/platform/request-socket.ts";
import { RecordingLog } from "../platform/recording-log.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";

/** A machine with the privileged helper on it: configuration, handlers, targets and state in a folder of root's. */
export class HelperMachine implements AsyncDisposable {
  readonly folder = new TemporaryFolder();
  readonly recording = new RecordingLog();
  readonly socket: string = this.folder.join("apply.sock");
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;

  constructor(rules: string) {
    for (const name of ["etc", "handlers", "targets", "state"]) mkdirSync(this.folder.join(name));
    this.writeConfig(rules);
  }

  get sources(): { readonly file: string; readonly stateDirectory: string } {
    return { file: this.folder.join("etc", "config.toml"), stateDirectory: this.folder.join("state") };
  }

  /** DIR in the rules stands for the folder. */
  writeConfig(rules: string): void {
    const text = `id_scope = "0ne000A0B1C"\n${rules.replaceAll("DIR", this.folder.path)}`;
    writeFileSync(this.sources.file, text, { mode: 0o644 });
  }

  writeHandler(name: string, script: string): string {
    const file = this.folder.join("handlers", name);
    writeFileSync(file, `#!/bin/sh\n${script.replaceAll("DIR", this.folder.path)}\n`);
    chmodSync(file, 0o755);
    return file;
  }

  /** @returns once it listens. */
  async start(idleMs = 60_000): Promise<void> {
    this.#running = runApplyHelper({
      sources: this.sources,
      handlerFolders: [this.folder.join("handlers")],
      log: this.recording.log,
      socket: { path: this.socket },
      idleMs,
      stop: this.#stop.signal,
    });
    // Any answer will do.
    while ((await this.ask("?").catch(() => undefined)) === undefined) await Promise.resolve();
    this.recording.lines.length = 0;
  }

  /** Resolves when the helper has ended by itself. */
  async ended(): Promise<void> {
    await this.#running;
  }

  async ask(question: string, signal: AbortSignal = new AbortController().signal): Promise<unknown> {
    return JSON.parse(await ask(this.socket, question, 20_000, signal));
  }

  async request(request: object): Promise<unknown> {
    return this.ask(JSON.stringify(request));
  }

  /** The applier of a rule as the agent has it: it goes by the socket. */
  async applier(property: string): Promise<Applier> {
    const loaded = await loadConfig(this.sources);
    if (loaded.status === "invalid") throw new Error(JSON.stringify(loaded.problems));
    const rule = loaded.config.apply.find((one: ApplyRule) => one.property === property);
    if (rule === undefined) throw new Error(`no rule for ${property}`);
    return createApplier(rule, {
      handlerFolders: [this.folder.join("handlers")],
      askHelper: async (question, timeoutMs, signal) => ask(this.socket, question, timeoutMs, signal),
    });
  }

  /** Sends bytes and does not close; resolves with what came back when the helper has closed. */
  async raw(bytes: string | Buffer): Promise<string> {
    const socket = createConnection(this.socket);
    const { promise, resolve } = Promise.withResolvers<string>();
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString("utf8");
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
    socket.write(bytes);
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("stopped by the test"));
    await this.#running;
    this.folder[Symbol.dispose]();
  }
}
