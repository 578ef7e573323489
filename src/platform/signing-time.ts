import type { Clock } from "./time.ts";

/** A server's `Date` has whole seconds and was on the way for a while; below this nobody needs to be corrected. */
const toleranceMs = 2 * 60_000;

/**
 * The time to sign with and to hold certificates against: the wall clock, or the time of a server where the wall clock is off from it by
 * more than two minutes. The system's clock is never set, and what the server said is counted on with the monotonic clock.
 */
export class SigningTime {
  readonly #clock: Clock;
  #measured: { readonly serverMs: number; readonly atMs: number } | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Milliseconds since 1970. */
  now(): number {
    return this.#clock.now() + this.offsetMs;
  }

  /** What has to be added to the wall clock, milliseconds; 0 where it is right or nobody measured it. */
  get offsetMs(): number {
    if (this.#measured === undefined) return 0;
    const { serverMs, atMs } = this.#measured;
    const offsetMs = serverMs + (this.#clock.monotonic() - atMs) - this.#clock.now();
    return Math.abs(offsetMs) <= toleranceMs ? 0 : offsetMs;
  }

  /** Whether a server was asked since the clock last jumped. */
  get isMeasured(): boolean {
    return this.#measured !== undefined;
  }

  /** A server whose certificate held said what time it is. @param serverMs milliseconds since 1970. */
  learn(serverMs: number): void {
    this.#measured = { serverMs, atMs: this.#clock.monotonic() };
  }

  /** The wall clock jumped: somebody set it, or the machine slept, when the monotonic clock stands still. Either way it is asked again. */
  forget(): void {
    this.#measured = undefined;
  }
}
