import type { Clock } from "../platform/time.ts";

/**
 * Milliseconds since 1970 by a clock that never runs backwards, not even across restarts: as a wall clock where that can be believed,
 * and standing still for the time of a restart where it fell behind what is remembered (a board without a battery).
 * It does not follow the wall clock's jumps while the process lives.
 */
export class AgentTime {
  readonly #clock: Clock;
  readonly #originMs: number;

  /** @param lastMs the latest agent time that an earlier process wrote down. */
  constructor(clock: Clock, lastMs = 0) {
    this.#clock = clock;
    this.#originMs = Math.max(clock.now(), lastMs) - clock.monotonic();
  }

  now(): number {
    return Math.round(this.#originMs + this.#clock.monotonic());
  }
}
