import type { Clock } from "./time.ts";

/** NTP slews by half a millisecond a second at most; what moves further was set, or the machine slept. */
const jumpMs = 5_000;

/** How often the clock is looked at while nothing works without a right one: then the device has nothing else to do. */
const urgentPaceMs = 5_000;

/** Notices when the wall clock is set: by comparing it with the monotonic clock, now and then, without a timer of its own while all is well. */
export class ClockWatch {
  readonly #clock: Clock;
  readonly #onJump: (byMs: number) => void;
  #difference: number;
  #hurry = new AbortController();

  constructor(clock: Clock, onJump: (byMs: number) => void) {
    this.#clock = clock;
    this.#onJump = onJump;
    this.#difference = clock.now() - clock.monotonic();
  }

  /** Compares now. @returns how far the wall clock jumped since the last look, milliseconds; 0 for not at all. */
  look(): number {
    const difference = this.#clock.now() - this.#clock.monotonic();
    const byMs = difference - this.#difference;
    this.#difference = difference;
    if (Math.abs(byMs) < jumpMs) return 0;
    this.#onJump(byMs);
    return byMs;
  }

  /** Somebody waits for the clock to be set: look often, until it jumps. */
  hurry(): void {
    this.#hurry.abort(new Error("the clock is waited for"));
  }

  /** Nobody waits any more. */
  calm(): void {
    if (this.#hurry.signal.aborted) this.#hurry = new AbortController();
  }

  /**
   * Looks at this pace until the signal is aborted.
   * @param paceMs no faster than the keep-alive, which wakes the device anyway.
   * @param alsoDue what else is to be done when the device is awake; an error in it ends the watch.
   */
  async run(paceMs: number, alsoDue: () => Promise<void>, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const isUrgent = this.#hurry.signal.aborted;
      await this.#pause(isUrgent ? urgentPaceMs : paceMs, isUrgent, signal);
      if (this.look() !== 0) this.calm();
      await alsoDue();
    }
  }

  async #pause(ms: number, isUrgent: boolean, signal: AbortSignal): Promise<void> {
    const ends = isUrgent ? signal : AbortSignal.any([signal, this.#hurry.signal]);
    try {
      await this.#clock.sleep(ms, ends);
    } catch (error) {
      if (!ends.aborted) throw error;
    }
  }
}
