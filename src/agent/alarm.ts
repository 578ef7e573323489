import type { Clock } from "../platform/time.ts";

/** A signal that is aborted after a time, unless disposed of before: nothing stays behind. */
export class Alarm {
  readonly #ring = new AbortController();
  readonly #cancel = new AbortController();

  constructor(clock: Clock, afterMs: number) {
    void this.#wait(clock, afterMs);
  }

  async #wait(clock: Clock, afterMs: number): Promise<void> {
    try {
      await clock.sleep(afterMs, this.#cancel.signal);
      this.#ring.abort(new Error("the alarm rang"));
    } catch {
      // Disposed of: nobody listens any more.
    }
  }

  get signal(): AbortSignal {
    return this.#ring.signal;
  }

  [Symbol.dispose](): void {
    this.#cancel.abort(new Error("the alarm is no longer needed"));
  }
}
