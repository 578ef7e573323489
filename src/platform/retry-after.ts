/** Some three years: what is longer is no wish but a fault, and would not fit a date. */
const mostDigits = 8;

/** Reads the `retry-after` of a topic or header: whole seconds. @returns milliseconds; undefined for anything else. */
export function parseRetryAfter(text: string | null): number | undefined {
  if (text === null || !/^\d+$/.test(text) || text.length > mostDigits) return undefined;
  return Number(text) * 1000;
}
