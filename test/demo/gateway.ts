import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { access, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Cloud } from "../cloud/cloud.ts";
import { AgentProcess } from "./agent-process.ts";
import { DemoFailure } from "./failure.ts";

/** The desired property that the agent turns into a file: settings of some data collector on the gateway. */
export const property = "collector";

/** A gateway of its own in a temporary folder: configuration, key, state, and the agent. Disposing of it leaves nothing. */
export class Gateway implements AsyncDisposable {
  readonly registrationId = "gateway-7";
  readonly key: string = randomBytes(32).toString("base64");
  readonly folder: string;
  readonly config: string;
  /** Called with each line of the agent's log. */
  onLog: (line: string) => void = () => {};
  #agent: AgentProcess | undefined;

  static async create(cloud: Cloud): Promise<Gateway> {
    const gateway = new Gateway(await mkdtemp(join(tmpdir(), "latebind-demo-")), cloud);
    for (const name of ["etc", "state", "app"]) await mkdir(gateway.#path(name));
    await writeFile(gateway.#path("etc/ca.pem"), cloud.caPem);
    await writeFile(gateway.#path("etc/device.key"), `${gateway.key}\n`, { mode: 0o600 });
    await writeFile(gateway.configFile, gateway.config);
    // Also when the demo itself breaks down: no agent and no key may stay behind.
    process.once("exit", () => gateway.#vanish());
    return gateway;
  }

  private constructor(folder: string, cloud: Cloud) {
    this.folder = folder;
    this.config = `id_scope = "${cloud.idScope}"
registration_id = "${this.registrationId}"

[provisioning]
endpoint = "${cloud.dps.host}"

[tls]
trust_bundle = "${this.#path("etc/ca.pem")}"

[hub]
refusal_retry = "2s" # 30 s by default

[[apply]]
property = "${property}"
file = "${this.file}"
`;
  }

  get configFile(): string {
    return this.#path("etc/config.toml");
  }

  /** What the property becomes. */
  get file(): string {
    return this.#path("app/collector.json");
  }

  get agent(): AgentProcess {
    if (this.#agent === undefined) throw new Error("the agent was not started yet");
    return this.#agent;
  }

  startAgent(): void {
    const files = { configFile: this.configFile, stateDirectory: this.#path("state") };
    this.#agent = new AgentProcess(files, (line) => this.onLog(line));
  }

  /** The newest lines of the agent's log; none where it was not started. */
  agentLog(lines: number): readonly string[] {
    return this.#agent?.log(lines) ?? [];
  }

  /**
   * Reads the file that the property became.
   * @returns its text, and when it was written.
   * @throws DemoFailure when its content is not what is wanted.
   */
  async appliedFile(wanted: object): Promise<{ readonly text: string; readonly writtenAtMs: number }> {
    const expected = `${this.file} holds ${JSON.stringify(wanted)}`;
    try {
      const text = await readFile(this.file, "utf8");
      if (!isDeepStrictEqual(JSON.parse(text), wanted)) throw new DemoFailure(expected, [text]);
      return { text, writtenAtMs: (await stat(this.file)).mtimeMs };
    } catch (cause) {
      if (cause instanceof DemoFailure) throw cause;
      throw new DemoFailure(expected, [String(cause)], { cause });
    }
  }

  /** @throws DemoFailure when something is left of the folder. */
  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
    try {
      await access(this.folder);
    } catch {
      return;
    }
    throw new DemoFailure(`${this.folder} is gone`, ["it is still there"]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent?.kill();
    await this.remove();
  }

  #vanish(): void {
    void this.#agent?.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #path(name: string): string {
    return join(this.folder, name);
  }
}
