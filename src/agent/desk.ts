import type { Random } from "../platform/backoff.ts";
import type { JsonObject } from "../platform/json.ts";
import type { Log } from "../platform/log.ts";
import type { Machine } from "../platform/machine.ts";
import type { Clock } from "../platform/time.ts";
import type { Desired } from "../twin/desired.ts";
import { Counters } from "./counters.ts";
import type { HealthFacts } from "./health.ts";
import { Heartbeat } from "./heartbeat.ts";
import { Outbox } from "./outbox.ts";
import { Programs } from "./programs.ts";
import { Reporter } from "./reporter.ts";

/** The twin as the agent knows it: what the hub said last, and what it was told since. */
export interface KnownTwin {
  readonly desired: Desired;
  readonly reported: JsonObject;
}

/**
 * What the agent knows about itself beyond one session and one configuration, for whoever asks: the twin, a direct method, a local
 * program. One instance lives as long as the process.
 */
export class Desk {
  readonly reporter: Reporter;
  readonly outbox: Outbox = new Outbox();
  readonly programs: Programs = new Programs();
  readonly counters: Counters = new Counters();
  readonly heartbeat: Heartbeat;
  /** When this process began. Wall clock. */
  readonly startedAtMs: number;
  readonly #clock: Clock;
  readonly #watchers = new Set<() => void>();
  #health: HealthFacts = { at: "starting" };
  #connectedSinceMs: number | undefined;
  #machine: Machine | undefined;
  #twin: KnownTwin | undefined;
  #limits: readonly string[] = [];

  constructor(version: string, clock: Clock, random: Random, log: Log) {
    this.#clock = clock;
    this.startedAtMs = clock.now();
    this.reporter = new Reporter(clock, random, log);
    this.heartbeat = new Heartbeat(
      clock,
      (message) => this.outbox.put(message),
      () => ({
        version,
        startedAt: new Date(this.startedAtMs).toISOString(),
        desiredVersion: this.#twin?.desired.version,
      }),
    );
  }

  get health(): HealthFacts {
    return this.#health;
  }

  /** Since when the hub has had us: a new token in between is no interruption. Wall clock. */
  get connectedSinceMs(): number | undefined {
    return this.#connectedSinceMs;
  }

  get twin(): KnownTwin | undefined {
    return this.#twin;
  }

  /** What this session has to do without, as sentences. */
  get limits(): readonly string[] {
    return this.#limits;
  }

  /** Called whenever the state of health changes. */
  noteHealth(facts: HealthFacts): void {
    this.#health = facts;
    if (facts.at === "waiting" || facts.at === "registering") this.#connectedSinceMs = undefined;
    if (facts.at === "waiting") this.counters.add("failures", { code: facts.error.code });
    for (const watch of this.#watchers) watch();
  }

  /** Calls back at each change of health. @returns how to stop. */
  watchHealth(watch: () => void): () => void {
    this.#watchers.add(watch);
    return () => {
      this.#watchers.delete(watch);
    };
  }

  /** Called when a hub has accepted us. */
  noteConnected(): void {
    this.#connectedSinceMs ??= this.#clock.now();
    this.#limits = [];
    this.counters.add("sessions");
  }

  noteTwin(twin: KnownTwin): void {
    this.#twin = twin;
  }

  noteLimits(limits: readonly string[]): void {
    this.#limits = limits;
  }

  /** Read once: neither changes while the process lives. */
  async machine(): Promise<Machine> {
    // Not needed before the first report.
    this.#machine ??= await (await import("../platform/machine.ts")).readMachine();
    return this.#machine;
  }
}
