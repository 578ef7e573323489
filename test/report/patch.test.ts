import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Outcome } from "../../src/appliers/applier.ts";
import type { PropertyResult } from "../../src/appliers/settle.ts";
import { canonicalJson, mergePatch, ownMember, type Json, type JsonObject } from "../../src/platform/json.ts";
import { measureDepth, measureSize } from "../../src/report/measure.ts";
import { diffReported, wantedReported } from "../../src/report/patch.ts";
import { anyJsonObject } from "../platform/any-json.ts";

const facts = { version: "1.2.3", phase: "online" };

function result(property: string, outcome: Outcome, more: Partial<PropertyResult> = {}): PropertyResult {
  return { property, version: 9, outcome, isFresh: true, ...more };
}

function acknowledgement(outcome: Outcome, more: Partial<PropertyResult> = {}): Json | undefined {
  return wantedReported({ results: [result("site", outcome, more)], absent: [] }, facts)["site"];
}

function textOf(answer: Json | undefined): string {
  const ad: unknown =
    typeof answer === "object" && answer !== null && "ad" in answer ? answer["ad"] : undefined;
  if (typeof ad !== "string") throw new Error("no ad");
  return ad;
}

/** Nulls in objects mean absent in a twin. */
function withoutNulls(value: Json): Json {
  return mergePatch(undefined, value);
}

describe("an acknowledgement", () => {
  test("of a value that is not legal is 400 with all problems and the value still in force", () => {
    const outcome: Outcome = { status: "rejected", problems: ["site.a: no", "site.b: neither"] };
    expect(acknowledgement(outcome, { value: "old" })).toEqual({
      value: "old",
      ac: 400,
      av: 9,
      ad: "site.a: no; site.b: neither",
    });
  });

  test("has no value where nobody knows what is in force", () => {
    const outcome: Outcome = { status: "failed", code: "appliers/command-failed", message: "exited with 1" };
    expect(acknowledgement(outcome)).toEqual({
      ac: 500,
      av: 9,
      ad: "appliers/command-failed: exited with 1",
    });
  });

  test.each([[{ status: "unchanged" }], [{ status: "applied", changed: ["/etc/site"] }]] as const)(
    "of %j is 200 with the value in force",
    (outcome) => {
      expect(acknowledgement(outcome, { value: { a: 1 } })).toEqual({
        value: { a: 1 },
        ac: 200,
        av: 9,
        ad: "in force",
      });
    },
  );

  test("applied and unchanged read the same, so that a restart reports nothing new", () => {
    expect(acknowledgement({ status: "unchanged" })).toEqual(
      acknowledgement({ status: "applied", changed: [] }),
    );
  });

  test("its text has no control characters and at most 512 characters", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 2_000 }), (message) => {
        const ad = textOf(acknowledgement({ status: "failed", code: "x/y", message }));
        expect(ad.length).toBeLessThanOrEqual(512);
        expect(ad).not.toMatch(/\p{Cc}/u);
        expect(ad.isWellFormed()).toBe(true);
      }),
    );
    expect(
      textOf(acknowledgement({ status: "failed", code: "x/y", message: "🔑".repeat(600) })),
    ).toHaveLength(512);
    expect(textOf(acknowledgement({ status: "rejected", problems: ["a\u001b[31m\r\nb"] }))).toBe("a [31m b");
  });
});

describe("the echo of a value", () => {
  test.each([
    ["larger than 4 KiB", "x".repeat(4_200)],
    // Each number weighs 8 bytes at the hub, and only two as text.
    ["of many small numbers", Array.from({ length: 600 }, () => 1)],
    ["nested as deep as the hub allows, so that the answer around it is too deep", nest(10)],
  ])("%s is left out, and the text says so", (_, value) => {
    const answer = acknowledgement({ status: "unchanged" }, { value });
    expect(answer).not.toHaveProperty("value");
    expect(textOf(answer)).toContain("too large to be reported");
  });

  test("one level less fits, at top level", () => {
    expect(acknowledgement({ status: "unchanged" }, { value: nest(9) })).toHaveProperty("value");
  });

  test("the largest echoes give way until all answers fit into 32 KiB", () => {
    const results = Array.from({ length: 30 }, (_, index) =>
      result(`p${index}`, { status: "unchanged" }, { value: "x".repeat(1_000 + index * 100) }),
    );
    const wanted = wantedReported({ results, absent: [] }, facts);
    expect(measureSize(wanted)).toBeLessThanOrEqual(32 * 1024);
    expect(wanted["p0"]).toHaveProperty("value");
    expect(wanted["p29"]).not.toHaveProperty("value");
    expect(wanted["p29"]).toHaveProperty("ac", 200);
  });
});

describe("our part of the twin", () => {
  test("the component has its settings, its facts and its mark", () => {
    const results = [result("logLevel", { status: "unchanged" }, { component: "latebind", value: "debug" })];
    const wanted = wantedReported({ results, absent: [] }, { ...facts, lastError: "hub/lost:\nline" });
    expect(wanted).toEqual({
      latebind: {
        __t: "c",
        version: "1.2.3",
        phase: "online",
        lastError: "hub/lost: line",
        logLevel: { value: "debug", ac: 200, av: 9, ad: "in force" },
      },
    });
  });

  test("a setting called like a fact does not hide the fact", () => {
    const results = [
      result("version", { status: "rejected", problems: ["no such setting"] }, { component: "latebind" }),
    ];
    expect(wantedReported({ results, absent: [] }, facts)).toHaveProperty(["latebind", "version"], "1.2.3");
  });

  test("a property that desired no longer has is deleted", () => {
    const wanted = wantedReported({ results: [], absent: [{ property: "site" }] }, facts);
    expect(diffReported({ site: { ac: 200 }, other: 1 }, wanted)).toMatchObject({ site: null });
  });

  test("a property called __proto__ is answered like any other", () => {
    const wanted = wantedReported(
      { results: [result("__proto__", { status: "unchanged" })], absent: [] },
      facts,
    );
    expect(Object.keys(wanted)).toContain("__proto__");
  });
});

describe("the difference", () => {
  test("of equal documents is nothing at all", () => {
    fc.assert(
      fc.property(anyJsonObject, (document) => {
        const clean = mergePatch({}, document);
        expect(diffReported(clean, clean)).toBeUndefined();
      }),
    );
  });

  test("names only what changed", () => {
    const previous = { a: { value: { x: 1, y: 2 }, ac: 200, av: 3 }, b: { ac: 200, av: 3 }, other: 1 };
    const wanted = { a: { value: { x: 1, z: [1] }, ac: 200, av: 4 }, b: { ac: 200, av: 3 } };
    expect(diffReported(previous, wanted)).toEqual({ a: { value: { y: null, z: [1] }, av: 4 } });
  });

  test("merged into what was, gives what is wanted on our keys and leaves the others alone", () => {
    fc.assert(
      fc.property(anyJsonObject, anyJsonObject, (before, wanted) => {
        const previous = mergePatch({}, before);
        const after = mergePatch(previous, diffReported(previous, wanted) ?? {});
        for (const key of new Set([...Object.keys(previous), ...Object.keys(wanted)])) {
          const expected = Object.hasOwn(wanted, key)
            ? withoutNulls(ownMember(wanted, key) ?? null)
            : ownMember(previous, key);
          expect(canonicalJson(ownMember(after, key) ?? null)).toBe(canonicalJson(expected ?? null));
        }
        expect(diffReported(after, wanted)).toBeUndefined();
      }),
      { numRuns: 500 },
    );
  });
});

function nest(levels: number): JsonObject {
  return levels === 1 ? {} : { a: nest(levels - 1) };
}

test("depth counts objects and lists within each other", () => {
  expect([1, {}, nest(9), [[1]]].map(measureDepth)).toEqual([0, 1, 9, 2]);
});
