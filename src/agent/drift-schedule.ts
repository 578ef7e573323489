import type { Appliers } from "../appliers/applier.ts";
import { keyOf, type PropertyName } from "../appliers/targets.ts";
import type { Random } from "../platform/backoff.ts";
import type { Clock } from "../platform/time.ts";

/** When to look for somebody else's changes, drawn at random, so that neither a fleet nor the properties of one device do it at one moment. */
export class DriftSchedule {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #dueAtMs = new Map<string, number>();

  constructor(appliers: Appliers, clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
    for (const [property, { driftCheckMs }] of appliers.properties) {
      // The first time anywhere in the interval, later with a tenth of play.
      if (driftCheckMs !== undefined)
        this.#dueAtMs.set(keyOf({ property }), clock.monotonic() + driftCheckMs * random());
    }
  }

  isDue(name: PropertyName): boolean {
    return (this.#dueAtMs.get(keyOf(name)) ?? Infinity) <= this.#clock.monotonic();
  }

  noteChecked(name: PropertyName, everyMs: number): void {
    this.#dueAtMs.set(keyOf(name), this.#clock.monotonic() + everyMs * (0.95 + 0.1 * this.#random()));
  }

  /** Until the next look; `Infinity` where there is none. */
  nextInMs(): number {
    return Math.max(0, Math.min(Infinity, ...this.#dueAtMs.values()) - this.#clock.monotonic());
  }
}
