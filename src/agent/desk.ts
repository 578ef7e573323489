import type { Random } from "../platform/backoff.ts";
import type { Log } from "../platform/log.ts";
import type { Machine } from "../platform/machine.ts";
import type { Clock } from "../platform/time.ts";
import type { HealthFacts } from "./health.ts";
import { Reporter } from "./reporter.ts";

/**
 * What the agent knows about itself beyond one session and one configuration, for whoever asks: the twin, a direct method, a local
 * program. One instance lives as long as the process.
 */
export class Desk {
  readonly reporter: Reporter;
  readonly #clock: Clock;
  #health: HealthFacts = { at: "starting" };
  #connectedSinceMs: number | undefined;
  #machine: Machine | undefined;

  constructor(clock: Clock, random: Random, log: Log) {
    this.#clock = clock;
    this.reporter = new Reporter(clock, random, log);
  }

  get health(): HealthFacts {
    return this.#health;
  }

  /** Since when the hub has had us: a new token in between is no interruption. Wall clock. */
  get connectedSinceMs(): number | undefined {
    return this.#connectedSinceMs;
  }

  /** Called whenever the state of health changes. */
  noteHealth(facts: HealthFacts): void {
    this.#health = facts;
    if (facts.at === "waiting" || facts.at === "registering") this.#connectedSinceMs = undefined;
  }

  /** Called when a hub has accepted us. */
  noteConnected(): void {
    this.#connectedSinceMs ??= this.#clock.now();
  }

  /** Read once: neither changes while the process lives. */
  async machine(): Promise<Machine> {
    // Not needed before the first report.
    const { readMachine } = await import("../platform/machine.ts");
    this.#machine ??= await readMachine();
    return this.#machine;
  }
}
