import type { Appliers } from "../appliers/applier.ts";
import type { Remembered } from "../appliers/remembered.ts";
import { changesOnTrial, type ChangeOnTrial } from "../appliers/roll-back.ts";
import { keyOf } from "../appliers/targets.ts";
import type { Clock } from "../platform/time.ts";

/**
 * How long after a change an answer of the hub begins to prove something: a tenth of the time that it has, within these. A change can take
 * a moment to cut the line.
 */
const settle = { leastMs: 1_000, mostMs: 30_000 };

/** A change that so many starts have seen is undone at once: it may be what keeps the device from staying up. */
const maxStarts = 2;

/** After an attempt to undo a change that failed. */
const undoAgainMs = 60_000;

interface Open {
  readonly change: ChangeOnTrial;
  readonly sinceMs: number;
  readonly dueAtMs: number;
}

/** Since when each change on trial has been in force, by the clock that never jumps. A start begins the wait anew. */
export class Trials {
  readonly #appliers: Appliers;
  readonly #clock: Clock;
  #open: readonly Open[] = [];
  #changed = Promise.withResolvers<undefined>();

  constructor(appliers: Appliers, clock: Clock) {
    this.#appliers = appliers;
    this.#clock = clock;
  }

  /** Called whenever the memory changed; a value that was tried just now begins its wait. */
  note(remembered: Remembered): void {
    const nowMs = this.#clock.monotonic();
    const before = new Map(this.#open.map((one) => [keyOf(one.change.entry), one]));
    this.#open = changesOnTrial(remembered, this.#appliers).map((change) => {
      const known = before.get(keyOf(change.entry));
      if (known?.change.entry.digest === change.entry.digest)
        return { change, sinceMs: known.sinceMs, dueAtMs: known.dueAtMs };
      const waitMs = change.entry.trial.starts > maxStarts ? 0 : change.confirmMs;
      return { change, sinceMs: nowMs, dueAtMs: nowMs + waitMs };
    });
    this.#changed.resolve(undefined);
    this.#changed = Promise.withResolvers();
  }

  /** Resolves at the next `note`. */
  async noted(): Promise<void> {
    await this.#changed.promise;
  }

  /** Until the first one is to be undone; `Infinity` where none is on trial. */
  dueInMs(): number {
    return this.#earliest(({ dueAtMs }) => dueAtMs);
  }

  /** Until it is worth asking the hub for an answer; `Infinity` where none is on trial. */
  probeInMs(): number {
    return this.#earliest(provableAtMs);
  }

  /** Those that the hub was not reached after in time. */
  due(): readonly ChangeOnTrial[] {
    const nowMs = this.#clock.monotonic();
    return this.#open.filter(({ dueAtMs }) => dueAtMs <= nowMs).map(({ change }) => change);
  }

  /** Called when one could not be undone. */
  postpone(change: ChangeOnTrial): void {
    const dueAtMs = this.#clock.monotonic() + undoAgainMs;
    this.#open = this.#open.map((one) => (one.change === change ? { ...one, dueAtMs } : one));
  }

  /** Those that are proven by an answer of the hub to a question that was asked then. */
  provenBy(askedAtMs: number): readonly ChangeOnTrial[] {
    return this.#open.filter((one) => provableAtMs(one) <= askedAtMs).map(({ change }) => change);
  }

  #earliest(atMs: (one: Open) => number): number {
    const nowMs = this.#clock.monotonic();
    return Math.min(Infinity, ...this.#open.map((one) => Math.max(0, atMs(one) - nowMs)));
  }
}

function provableAtMs({ change, sinceMs }: Open): number {
  return sinceMs + Math.min(settle.mostMs, Math.max(settle.leastMs, change.confirmMs / 10));
}
