import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AgentError } from "../../src/platform/failure.ts";
import { canonicalJson, mergePatch, type JsonObject } from "../../src/platform/json.ts";
import { deliver } from "../../src/report/deliver.ts";
import { measureSize } from "../../src/report/measure.ts";
import { batchUnits, joinUnits, unitsOf } from "../../src/report/units.ts";
import { anyJsonObject } from "../platform/any-json.ts";

/** A hub that refuses every patch which touches one of these. */
function hub(isBad: (patch: JsonObject) => boolean) {
  const taken: JsonObject[] = [];
  let calls = 0;
  return {
    taken,
    calls: () => calls,
    send: async (patch: JsonObject) => {
      calls += 1;
      if (isBad(patch)) throw new AgentError("hub/twin-refused", "operator", "the hub refused it (400)");
      taken.push(patch);
    },
  };
}

const names = (count: number) => Array.from({ length: count }, (_, index) => `p${index}`);

describe("row 55: a report that the hub answers 400", () => {
  test("is halved until the wrong property stands alone; all others arrive", async () => {
    const patch = Object.fromEntries(names(16).map((name) => [name, { value: 1, ac: 200 }]));
    const { send, taken, calls } = hub((part) => "p11" in part);
    const { accepted, refused, stoppedBy } = await deliver(patch, send);
    expect(stoppedBy).toBeUndefined();
    expect(refused.map(({ unit }) => unit.path)).toEqual([["p11"]]);
    expect(accepted).toHaveLength(15);
    expect(Object.keys(mergePatch({}, Object.assign({}, ...taken))).toSorted()).toEqual(
      names(16)
        .filter((name) => name !== "p11")
        .toSorted(),
    );
    // 16, 8 + 8, 4 + 4, 2 + 2, 1 + 1.
    expect(calls()).toBe(9);
  });

  test("of a component is halved between its members", async () => {
    const { send } = hub((part) => JSON.stringify(part).includes("bad"));
    const { refused } = await deliver({ latebind: { __t: "c", os: "good", hardware: "bad" } }, send);
    expect(refused.map(({ unit }) => unit.path)).toEqual([["latebind", "hardware"]]);
  });

  test("of which everything is wrong is told as that, each property once", async () => {
    const { refused, accepted } = await deliver(
      Object.fromEntries(names(5).map((name) => [name, 1])),
      hub(() => true).send,
    );
    expect(refused.map(({ unit }) => unit.path[0])).toEqual(names(5));
    expect(accepted).toEqual([]);
  });
});

test("row 55: 429 stops the delivery where it is, and what was taken before is known", async () => {
  const throttled = new AgentError("hub/throttled", "retry", "429", { retryAfterMs: 7_000 });
  let calls = 0;
  const patch = Object.fromEntries(names(12).map((name) => [name, "x".repeat(3_000)]));
  const { accepted, refused, stoppedBy } = await deliver(patch, async () => {
    calls += 1;
    if (calls === 2) throw throttled;
  });
  expect(stoppedBy).toBe(throttled);
  expect(accepted.map(({ path }) => path[0])).toEqual(names(5));
  expect(refused).toEqual([]);
});

test("what is thrown beside AgentErrors is a bug and not swallowed", async () => {
  await expect(
    deliver({ a: 1 }, async () => {
      throw new TypeError("bug");
    }),
  ).rejects.toBeInstanceOf(TypeError);
});

describe("a patch that is too large for one message", () => {
  test("goes in several, none above 16 KiB, and deletions first", async () => {
    const { send, taken } = hub(() => false);
    const patch = { ...Object.fromEntries(names(10).map((name) => [name, "x".repeat(3_000)])), gone: null };
    await deliver(patch, send);
    expect(taken.length).toBeGreaterThan(1);
    expect(Math.max(...taken.map(measureSize))).toBeLessThanOrEqual(16 * 1024);
    expect(Object.keys(taken[0] ?? {})[0]).toBe("gone");
  });

  test("comes to the same as the patch at once, whatever it holds", () => {
    fc.assert(
      fc.property(
        anyJsonObject,
        anyJsonObject,
        fc.integer({ min: 10, max: 500 }),
        (before, any, maxBytes) => {
          const patch = { ...any, latebind: any, programs: before };
          const target = mergePatch({}, before);
          const parts = batchUnits(unitsOf(patch), maxBytes).map(joinUnits);
          const inParts = parts.reduce((merged, part) => mergePatch(merged, part), target);
          const atOnce = mergePatch(target, patch);
          expect(canonicalJson(withoutEmpty(inParts))).toBe(canonicalJson(withoutEmpty(atOnce)));
        },
      ),
    );
  });
});

/** A section without members is said or not said, which makes no difference in a twin. */
function withoutEmpty(document: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(document).filter(
      ([name, value]) => !["latebind", "programs"].includes(name) || canonicalJson(value) !== "{}",
    ),
  );
}
