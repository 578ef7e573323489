import type { Fields, Log } from "../platform/log.ts";

/** Of one kind: the first is told, and then what came meanwhile when this time is over. */
const quietMs = 10 * 60_000;

interface Heard {
  toldAt: number;
  times: number;
}

/** Tells what clients do wrong: once, and not once for each request. */
export class Noise {
  readonly #log: Log;
  readonly #now: () => number;
  readonly #heard = new Map<string, Heard>();

  /** @param now milliseconds of a clock that never jumps. */
  constructor(log: Log, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  /** @param says what was done about it; always the same words for the same thing. */
  note(says: string, fields: Fields = {}): void {
    const heard = this.#heard.get(says) ?? { toldAt: Number.NEGATIVE_INFINITY, times: 0 };
    heard.times += 1;
    this.#heard.set(says, heard);
    if (this.#now() - heard.toldAt < quietMs) return;
    this.#log.warning("control.client-refused", { says, times: heard.times, ...fields });
    heard.toldAt = this.#now();
    heard.times = 0;
  }
}
