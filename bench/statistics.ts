/** The value that `share` (0 to 1) of the values do not exceed; of an even number of values the median is the upper one. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  if (value === undefined) throw new Error("no values to choose from");
  return value;
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}
