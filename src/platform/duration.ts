const grammar = /^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/;
const unitsMs = [86_400_000, 3_600_000, 60_000, 1000] as const;

/**
 * The one grammar of durations in the configuration: whole numbers with the units d, h, m, s, larger units first,
 * each at most once: `90s`, `3m`, `1h30m`.
 * @returns milliseconds, or undefined where the text is not a duration.
 */
export function parseDuration(text: string): number | undefined {
  const match = grammar.exec(text);
  if (match === null || text === "") return undefined;
  const totalMs = unitsMs.reduce((sum, unitMs, index) => sum + Number(match[index + 1] ?? 0) * unitMs, 0);
  return Number.isSafeInteger(totalMs) ? totalMs : undefined;
}
