import * as v from "valibot";
import { parse } from "./enrollment-spec.ts";
import type { ServerClock } from "./server-clock.ts";
import { SlidingWindow } from "./sliding-window.ts";

const perSecond = v.optional(v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0))));
export const throttleChange = v.strictObject({
  connectsPerSecond: perSecond,
  publishesPerSecond: perSecond,
  twinReadsPerSecond: perSecond,
  twinUpdatesPerSecond: perSecond,
  whenPublishing: v.optional(v.picklist(["delay", "close"])),
});

/** Changes what is named; null lifts a limit. */
export type ThrottleChange = v.InferInput<typeof throttleChange>;

/** How much the whole hub takes. No limit where one is left out. */
interface ThrottleSettings {
  readonly connectsPerSecond?: number | undefined;
  readonly publishesPerSecond?: number | undefined;
  readonly twinReadsPerSecond?: number | undefined;
  readonly twinUpdatesPerSecond?: number | undefined;
  /** Too many publishes wait for their PUBACK, or lose their connection. The service does both. */
  readonly whenPublishing: "delay" | "close";
}

/** Throttling of one hub: by delay, by closing, by 429, by CONNACK 3. Limits are off until somebody sets them. */
export class HubThrottle {
  readonly #clock: ServerClock;
  readonly #window = new SlidingWindow(1000);
  #settings: ThrottleSettings = { whenPublishing: "delay" };
  /** When publishes were let pass or will be, the latest last. */
  #releases: number[] = [];

  constructor(clock: ServerClock) {
    this.#clock = clock;
  }

  settings(): ThrottleSettings {
    return this.#settings;
  }

  change(input: ThrottleChange): ThrottleSettings {
    const change = parse(throttleChange, input);
    const old = this.#settings;
    this.#releases = [];
    this.#settings = {
      connectsPerSecond: pick(change.connectsPerSecond, old.connectsPerSecond),
      publishesPerSecond: pick(change.publishesPerSecond, old.publishesPerSecond),
      twinReadsPerSecond: pick(change.twinReadsPerSecond, old.twinReadsPerSecond),
      twinUpdatesPerSecond: pick(change.twinUpdatesPerSecond, old.twinUpdatesPerSecond),
      whenPublishing: change.whenPublishing ?? old.whenPublishing,
    };
    return this.#settings;
  }

  takesConnect(): boolean {
    return this.#take("connect", this.#settings.connectsPerSecond);
  }

  takesTwinRead(): boolean {
    return this.#take("read", this.#settings.twinReadsPerSecond);
  }

  takesTwinUpdate(): boolean {
    return this.#take("update", this.#settings.twinUpdatesPerSecond);
  }

  /** @returns undefined to let a publish pass, a promise that holds it back, or why the connection is to be closed. */
  publish(): Promise<void> | { readonly because: string } | undefined {
    const { publishesPerSecond: limit, whenPublishing } = this.#settings;
    if (limit === undefined) return undefined;
    const now = this.#clock.now();
    this.#releases = this.#releases.filter((at) => at > now - 1000);
    if (this.#releases.length < limit) {
      this.#releases.push(now);
      return undefined;
    }
    // The publish so many places before this one makes room a second after its own turn.
    const before = limit === 0 ? undefined : this.#releases.at(-limit);
    if (whenPublishing === "close" || before === undefined) {
      return { because: `more than ${limit} publishes per second` };
    }
    this.#releases.push(before + 1000);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#clock.at(before + 1000, resolve);
    return promise;
  }

  #take(what: string, limit: number | undefined): boolean {
    return limit === undefined || this.#window.take(what, limit, this.#clock.now());
  }
}

/** Nothing said keeps the old limit, null lifts it. */
function pick(given: number | null | undefined, kept: number | undefined): number | undefined {
  return given === undefined ? kept : (given ?? undefined);
}
