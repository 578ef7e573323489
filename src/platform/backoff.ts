/** Uniform in [0, 1); injected, so that a test can choose. */
export type Random = () => number;

export interface Ladder {
  /** The least delay, and the ceiling of the first attempt's draw is twice that. */
  readonly firstMs: number;
  readonly capMs: number;
}

/**
 * How long to wait before the next attempt: drawn evenly between `firstMs` and a ceiling that doubles with each failure
 * up to `capMs`. A wide draw keeps a fleet that lost its hub at one moment from coming back at one moment.
 * @param failures how many attempts failed in a row, 1 or more.
 */
export function backoff(ladder: Ladder, failures: number, random: Random): number {
  // 2^30 first steps are past every cap; the exponent is bounded so that the product stays finite.
  const ceiling = Math.min(ladder.capMs, ladder.firstMs * 2 ** Math.min(failures, 30));
  return Math.round(ladder.firstMs + random() * Math.max(0, ceiling - ladder.firstMs));
}
