import { untilAborted } from "../src/platform/abort.ts";
import type { Clock } from "../src/platform/time.ts";

interface Sleeper {
  readonly dueAt: number;
  readonly wake: () => void;
}

/** A clock that stands still until it is told to go on. Sockets stay real: only the agent's own waiting is simulated. */
export class ManualClock implements Clock {
  #elapsed = 0;
  #offsetMs: number;
  readonly #sleepers = new Set<Sleeper>();
  #changed = Promise.withResolvers<undefined>();
  /** How long each finished or pending sleep was asked to be, in order. */
  readonly asked: number[] = [];

  constructor(startAt: number = Date.now()) {
    this.#offsetMs = startAt;
  }

  now(): number {
    return this.#offsetMs + this.#elapsed;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  /** A jump of the wall clock; sleepers do not notice. */
  jump(ms: number): void {
    this.#offsetMs += ms;
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.asked.push(ms);
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const sleeper = { dueAt: this.#elapsed + ms, wake: () => resolve(undefined) };
    this.#sleepers.add(sleeper);
    this.#tell();
    try {
      await untilAborted(promise, signal);
    } finally {
      this.#sleepers.delete(sleeper);
      this.#tell();
    }
  }

  /** How many wait now. */
  get sleeping(): number {
    return this.#sleepers.size;
  }

  /** Milliseconds until the first sleeper wakes; undefined where nobody sleeps. */
  nextIn(): number | undefined {
    const due = [...this.#sleepers].map((sleeper) => sleeper.dueAt);
    return due.length === 0 ? undefined : Math.max(0, Math.min(...due) - this.#elapsed);
  }

  advance(ms: number): void {
    this.#elapsed += ms;
    for (const sleeper of this.#sleepers) {
      if (sleeper.dueAt > this.#elapsed) continue;
      // Awake from now on, though its own turn has yet to come.
      this.#sleepers.delete(sleeper);
      sleeper.wake();
    }
  }

  /** Lets time pass step by step, with time for sockets in between, until the condition holds. */
  async passUntil(condition: () => boolean, stepMs = 1_000): Promise<void> {
    for (let turn = 0; !condition(); turn += 1) {
      if (turn > 1_000) throw new Error(`${turn} times ${stepMs} ms passed in vain`);
      this.advance(stepMs);
      await new Promise((resolve) => {
        setTimeout(resolve, 5);
      });
    }
  }

  /** Resolves as soon as somebody sleeps. */
  async someoneSleeps(): Promise<void> {
    while (this.#sleepers.size === 0) await this.#changed.promise;
  }

  #tell(): void {
    this.#changed.resolve(undefined);
    this.#changed = Promise.withResolvers();
  }
}
