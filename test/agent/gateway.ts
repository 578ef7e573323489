import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Desk } from "../../src/agent/desk.ts";
import { giveOrder } from "../../src/control/orders.ts";
import { readJournal } from "../../src/agent/journal.ts";
import type { ControlledAgent } from "../../src/control/controlled-agent.ts";
import { health, type HealthFacts } from "../../src/agent/health.ts";
import { Inputs } from "../../src/agent/inputs.ts";
import { run } from "../../src/agent/run.ts";
import { wire } from "../../src/agent/wire-parts.ts";
import { loadConfig } from "../../src/config/load.ts";
import { Pkcs11Tokens } from "../../src/identity/pkcs11/tokens.ts";
import type { TpmSurroundings } from "../../src/identity/tpm/tpm.ts";
import { openMqttLink } from "../../src/mqtt/mqtt-js-link.ts";
import { createLog } from "../../src/platform/log.ts";
import { systemClock, type Clock } from "../../src/platform/time.ts";
import type { Cloud } from "../cloud/cloud.ts";

interface GatewayOptions {
  readonly registrationId?: string;
  readonly key?: string;
  /** With X.509: the device's chain and key in PEM. Its common name is the registration ID, which the config does not name. */
  readonly credential?: { readonly chainPem: string; readonly keyPem: string };
  /** Key and certificate of the configuration, where they are no files of this gateway. */
  readonly uris?: { readonly key: string; readonly certificate?: string };
  /** A TPM is the identity, with the registration ID that follows from it. */
  readonly tpm?: TpmSurroundings & { readonly tcti: string };
  /** Speak with DPS over HTTPS. */
  readonly overHttps?: boolean;
  /** Speak MQTT with DPS and the hub over WebSocket. */
  readonly overWebSocket?: boolean;
  readonly idScope?: string;
  readonly clock?: Clock;
  /** Where time is real, waits are drawn short unless this says otherwise. */
  readonly random?: () => number;
  readonly isClockSynchronised?: boolean;
  /** Where the state goes, where that is no folder of this gateway. */
  readonly stateDirectory?: string;
  /** Lines of TOML to add above the first table. */
  readonly top?: readonly string[];
  /** A machine that has been running for ever, where left out. */
  readonly uptimeMs?: number;
  /** TOML to add at the end. */
  readonly more?: string;
}

export interface LogLine {
  readonly level: string;
  readonly event: string;
  readonly error?: { readonly code: string; readonly message: string };
  readonly [field: string]: unknown;
}

/** `<5>{"level":"notice","event":"hub.connected",…}` */
export function readLine(line: string): LogLine {
  const fields: unknown = JSON.parse(line.slice(line.indexOf("{")));
  if (!isLogLine(fields)) throw new Error(`no log line: ${line}`);
  return fields;
}

function isLogLine(value: unknown): value is LogLine {
  return typeof value === "object" && value !== null && "level" in value && "event" in value;
}

function nothing(): void {
  // This service manager has nobody to tell.
}

/** A machine with an agent on it: config, key and state in a folder of its own, everything real but the clock. */
export class Gateway implements AsyncDisposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "latebind-test-"));
  readonly registrationId: string;
  readonly key: string;
  readonly lines: LogLine[] = [];
  readonly health: HealthFacts[] = [];
  readonly tokens: Pkcs11Tokens = new Pkcs11Tokens();
  /** Who asked for a restart. */
  readonly restarts: string[] = [];
  isReady = false;
  /** What systemd would show. */
  status = "";
  readonly inputs: Inputs;
  readonly #cloud: Cloud;
  readonly #options: GatewayOptions;
  #desk: Desk | undefined;
  #running: { readonly stop: AbortController; readonly ended: Promise<unknown> } | undefined;
  #watchers = new Set<() => void>();

  constructor(cloud: Cloud, options: GatewayOptions = {}) {
    this.#cloud = cloud;
    this.#options = options;
    this.inputs = new Inputs(options.clock ?? systemClock);
    this.registrationId = options.registrationId ?? `gw-${randomBytes(4).toString("hex")}`;
    this.key = options.key ?? randomBytes(32).toString("base64");
    mkdirSync(join(this.folder, "state"));
    mkdirSync(join(this.folder, "etc"));
    writeFileSync(join(this.folder, "etc", "ca.pem"), cloud.caPem);
    if (options.credential === undefined) this.writeKey(this.key);
    else this.writeCredential(options.credential);
    this.writeConfig({});
  }

  /** What the running process knows; a new one at each start. */
  get desk(): Desk {
    if (this.#desk === undefined) throw new Error("not started yet");
    return this.#desk;
  }

  /** The running agent as methods and the control socket see it. */
  get agent(): ControlledAgent {
    return {
      version: "0.0.0-test",
      desk: this.desk,
      log: createLog({ write: (line) => this.lines.push(readLine(line)) }, "debug"),
      tell: (event) => this.inputs.tell(event),
      explain: async (last) => readJournal(this.stateDirectory).slice(-last),
      restart: (because) => this.restarts.push(because),
    };
  }

  get stateDirectory(): string {
    return this.#options.stateDirectory ?? join(this.folder, "state");
  }

  /** The file that the desired property `site` becomes. */
  get siteFile(): string {
    return join(this.folder, "site.json");
  }

  site(): unknown {
    return JSON.parse(readFileSync(this.siteFile, "utf8"));
  }

  writeKey(key: string): void {
    writeFileSync(join(this.folder, "etc", "device.key"), `${key}\n`, { mode: 0o600 });
  }

  writeCredential({ chainPem, keyPem }: { readonly chainPem: string; readonly keyPem: string }): void {
    writeFileSync(join(this.folder, "etc", "device.pem"), chainPem);
    this.writeKey(keyPem);
  }

  #identityLines(): readonly string[] {
    const { credential, uris, tpm } = this.#options;
    if (tpm !== undefined) return ['key = "tpm2:"'];
    const key = uris?.key ?? `file:${join(this.folder, "etc", "device.key")}`;
    const file = credential === undefined ? undefined : `file:${join(this.folder, "etc", "device.pem")}`;
    const certificate = uris?.certificate ?? file;
    return [
      ...(certificate === undefined
        ? [`registration_id = "${this.registrationId}"`]
        : [`certificate = "${certificate}"`]),
      `key = "${key}"`,
    ];
  }

  #webSocketLines(port: number | undefined): readonly string[] {
    const isOnly = this.#options.overWebSocket === true;
    return [...(isOnly ? [`transport = "websocket"`] : []), `websocket_port = ${port ?? 443}`];
  }

  writeConfig({ idScope }: { readonly idScope?: string }): void {
    const lines = [
      `id_scope = "${idScope ?? this.#options.idScope ?? this.#cloud.idScope}"`,
      ...this.#identityLines(),
      ...(this.#options.top ?? []),
      `[provisioning]`,
      `endpoint = "${this.#cloud.dps.host}"`,
      ...(this.#options.overHttps === true ? [`transport = "https"`] : []),
      ...(this.#options.overHttps === true || this.#options.tpm !== undefined
        ? [`port = ${this.#cloud.dps.httpsPort}`]
        : []),
      ...this.#webSocketLines(this.#cloud.dps.httpsPort),
      ...(this.#options.tpm === undefined ? [] : [`[tpm]`, `tcti = "${this.#options.tpm.tcti}"`]),
      `[hub]`,
      ...this.#webSocketLines(this.#cloud.hub("test").httpsPort),
      `refusal_retry = "1s"`,
      `[tls]`,
      `trust_bundle = "${join(this.folder, "etc", "ca.pem")}"`,
      `[log]`,
      `level = "debug"`,
      `[[apply]]`,
      `property = "site"`,
      `file = "${this.siteFile}"`,
      `format = "json"`,
      this.#options.more ?? "",
    ];
    writeFileSync(join(this.folder, "etc", "config.toml"), lines.join("\n"));
  }

  /** Starts the journey; it runs until `stop`. */
  async start(): Promise<void> {
    const loaded = await loadConfig({
      file: join(this.folder, "etc", "config.toml"),
      stateDirectory: this.stateDirectory,
    });
    if (loaded.status === "invalid") throw new Error(JSON.stringify(loaded.problems));
    const stop = new AbortController();
    const log = createLog(
      {
        write: (line) => {
          this.lines.push(readLine(line));
          this.#tell();
        },
      },
      "debug",
    );
    this.#desk = new Desk("0.0.0-test", this.#options.clock ?? systemClock, Math.random, log);
    const parts = wire(loaded.config, {
      version: "0.0.0-test",
      stateDirectory: this.stateDirectory,
      hostName: "gateway",
      uptimeMs: () => this.#options.uptimeMs ?? Infinity,
      openLink: openMqttLink,
      clock: this.#options.clock ?? systemClock,
      // The shorter waits of each ladder, where they pass in real time.
      random: this.#options.random ?? (() => Math.random() * (this.#options.clock === undefined ? 0.15 : 1)),
      log,
      inputs: this.inputs,
      desk: this.desk,
      answerMethod: async ({ name, payload }) => giveOrder(name, payload, "a direct method", this.agent),
      serviceManager: this.#serviceManager(),
      watchdog: { expect: () => {}, [Symbol.dispose]: () => {} },
      tokens: this.tokens,
      tpm: this.#options.tpm ?? { workDirectory: "/dev/shm" },
    });
    const isSynchronised = this.#options.isClockSynchronised;
    const ended = run(
      {
        ...parts,
        isClockSynchronised: async () => isSynchronised,
        onHealth: (facts) => {
          parts.onHealth(facts);
          this.health.push(facts);
          this.#tell();
        },
      },
      stop.signal,
    ).catch((error: unknown) => {
      if (error !== stop.signal.reason) throw error;
    });
    this.#running = { stop, ended };
  }

  async stop(): Promise<void> {
    this.#running?.stop.abort(new Error("stopped by the test"));
    await this.#running?.ended;
    this.#running = undefined;
  }

  /** The sentence that `systemctl status` would show. */
  get lastHealth(): string {
    const facts = this.health.at(-1);
    return facts === undefined ? "" : health(facts);
  }

  /** Resolves once the condition holds; it is looked at after each log line and change of health. */
  async until(condition: () => boolean, what: string, timeoutMs = 10_000): Promise<void> {
    const deadline = AbortSignal.timeout(timeoutMs);
    while (!condition()) {
      const { promise, resolve, reject } = Promise.withResolvers<undefined>();
      const onTimeout = () => {
        const last = this.lines.slice(-8).map((line) => JSON.stringify(line));
        reject(new Error(`waited ${timeoutMs} ms in vain: ${what}\n${last.join("\n")}`));
      };
      const wake = () => resolve(undefined);
      this.#watchers.add(wake);
      deadline.addEventListener("abort", onTimeout, { once: true });
      if (deadline.aborted) onTimeout();
      try {
        await promise;
      } finally {
        this.#watchers.delete(wake);
        deadline.removeEventListener("abort", onTimeout);
      }
    }
  }

  events(name: string): readonly LogLine[] {
    return this.lines.filter(({ event }) => event === name);
  }

  /** The codes of the failures so far, in order. */
  failures(): readonly string[] {
    return this.lines
      .filter(({ event }) => event.endsWith(".failed") && event !== "twin.failed")
      .map(({ error }) => String(error?.code));
  }

  async connected(): Promise<void> {
    await this.until(
      () => this.health.at(-1)?.at === "connected",
      "the agent connected and applied the twin",
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    this.tokens[Symbol.dispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #serviceManager() {
    return {
      ready: () => {
        this.isReady = true;
      },
      status: (text: string) => {
        this.status = text;
        this.#tell();
      },
      watchdog: nothing,
      reloading: nothing,
      stopping: nothing,
      extendStart: nothing,
      settled: async () => {},
      watchdogMs: undefined,
    };
  }

  #tell(): void {
    for (const wake of this.#watchers) wake();
  }
}
