import * as fc from "fast-check";
import { expect, test } from "vitest";
import { backoff, type Ladder } from "../../src/platform/backoff.ts";

const ladders: fc.Arbitrary<Ladder> = fc
  .tuple(fc.integer({ min: 1, max: 60_000 }), fc.integer({ min: 0, max: 86_400_000 }))
  .map(([firstMs, more]) => ({ firstMs, capMs: firstMs + more }));
const failures = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 2 ** 31 }));
const draws = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

test("a delay is never below the first step and never above the cap", () => {
  fc.assert(
    fc.property(ladders, failures, draws, (ladder, count, draw) => {
      const delayMs = backoff(ladder, count, () => draw);
      expect(delayMs).toBeGreaterThanOrEqual(ladder.firstMs);
      expect(delayMs).toBeLessThanOrEqual(ladder.capMs);
      expect(Number.isInteger(delayMs)).toBe(true);
    }),
  );
});

test("one more failure never makes the same draw shorter", () => {
  fc.assert(
    fc.property(ladders, failures, draws, (ladder, count, draw) => {
      const random = () => draw;
      expect(backoff(ladder, count + 1, random)).toBeGreaterThanOrEqual(backoff(ladder, count, random));
    }),
  );
});

test("a higher draw never makes the delay shorter, and the draws reach from end to end", () => {
  const ladder = { firstMs: 1_000, capMs: 60_000 };
  expect(backoff(ladder, 3, () => 0)).toBe(1_000);
  expect(backoff(ladder, 3, () => 0.5)).toBe(4_500);
  expect(backoff(ladder, 3, () => 1 - Number.EPSILON)).toBe(8_000);
});

test.each([
  [1, 2_000],
  [2, 4_000],
  [5, 32_000],
  [6, 60_000],
  [7, 60_000],
  [1_000_000, 60_000],
])("after %i failures the ceiling is %i ms: it doubles up to the cap and stays there", (count, ceiling) => {
  expect(backoff({ firstMs: 1_000, capMs: 60_000 }, count, () => 1 - Number.EPSILON)).toBe(ceiling);
});

test("a thousand devices that fail together do not come back together", () => {
  const delays = Array.from({ length: 1_000 }, () =>
    backoff({ firstMs: 1_000, capMs: 60_000 }, 6, Math.random),
  );
  const perSecond = Map.groupBy(delays, (delay) => Math.floor(delay / 1_000));
  expect(Math.max(...[...perSecond.values()].map((group) => group.length))).toBeLessThan(50);
});
