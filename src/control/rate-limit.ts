/** A bucket of permits that fills again with time. For one connection. */
export class RateLimit {
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #now: () => number;
  #permits: number;
  #filledAt: number;
  #refused = 0;

  /** @param now milliseconds of a clock that never jumps. */
  constructor(
    { burst, perSecond }: { readonly burst: number; readonly perSecond: number },
    now: () => number,
  ) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#now = now;
    this.#permits = burst;
    this.#filledAt = now();
  }

  /** How often it said no. */
  get refused(): number {
    return this.#refused;
  }

  /** @returns undefined where the request may go on, else after how many milliseconds the next one may. */
  take(): number | undefined {
    const now = this.#now();
    this.#permits = Math.min(this.#burst, this.#permits + ((now - this.#filledAt) / 1000) * this.#perSecond);
    this.#filledAt = now;
    if (this.#permits >= 1) {
      this.#permits -= 1;
      return undefined;
    }
    this.#refused += 1;
    return Math.ceil(((1 - this.#permits) / this.#perSecond) * 1000);
  }
}
