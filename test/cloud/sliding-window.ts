/** Counts what has happened lately, for each key apart. */
export class SlidingWindow {
  readonly #windowMs: number;
  readonly #taken = new Map<string, number[]>();

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  /** @returns false, and counts nothing, when `limit` were taken within the window already. */
  take(key: string, limit: number, nowMs: number): boolean {
    const recent = (this.#taken.get(key) ?? []).filter((at) => at > nowMs - this.#windowMs && at <= nowMs);
    this.#taken.set(key, recent);
    if (recent.length >= limit) return false;
    recent.push(nowMs);
    return true;
  }
}
