import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalJson, mergePatch, type JsonObject } from "../../src/platform/json.ts";
import { applyDesiredPatch, parseTwin, type Desired } from "../../src/twin/desired.ts";
import { anyJsonObject } from "../platform/any-json.ts";

describe("the whole twin", () => {
  test.each([
    ["null", null, ["twin: not an object"]],
    ["a list", [], ["twin: not an object"]],
    ["undefined", undefined, ["twin: not JSON or nested too deeply"]],
    ["an empty object", {}, ["desired: not an object"]],
    ["desired without a version", { desired: {} }, ["desired.$version: not a whole number of at least 0"]],
    [
      "a version that is text, and reported that is a list",
      { desired: { $version: "4" }, reported: [] },
      ["desired.$version: not a whole number of at least 0", "reported: not an object"],
    ],
    [
      "a negative version",
      { desired: { $version: -1 } },
      ["desired.$version: not a whole number of at least 0"],
    ],
    [
      "half a version",
      { desired: { $version: 1.5 } },
      ["desired.$version: not a whole number of at least 0"],
    ],
  ])("%s is malformed, and every problem is told", (_, document, problems) => {
    expect(parseTwin(document)).toEqual({ status: "malformed", problems });
  });

  test("a document made to overflow the stack is malformed", () => {
    const deep: unknown = JSON.parse(
      `{"desired":{"$version":1,"a":${"[".repeat(9_000)}${"]".repeat(9_000)}}}`,
    );
    expect(parseTwin(deep).status).toBe("malformed");
  });

  test("properties come without what the hub keeps for itself", () => {
    const document = {
      desired: { site: { name: "north" }, $version: 7, $metadata: { $lastUpdated: "now" } },
      reported: { site: { ac: 200 }, $version: 12, $metadata: {} },
    };
    expect(parseTwin(document)).toEqual({
      status: "parsed",
      desired: { version: 7, properties: { site: { name: "north" } } },
      reported: { site: { ac: 200 } },
    });
  });

  test("a twin that never had reported properties is not malformed", () => {
    expect(parseTwin({ desired: { $version: 1 } })).toMatchObject({ status: "parsed", reported: {} });
  });
});

describe("a patch of desired properties", () => {
  const current: Desired = { version: 4, properties: { a: { b: 1, c: [1, 2] }, d: "x" } };

  test.each([
    ["text", "patch", "patch: not an object"],
    ["a list", [], "patch: not an object"],
    ["no version", { a: 1 }, "patch.$version: not a whole number of at least 0"],
    ["a version as text", { $version: "5" }, "patch.$version: not a whole number of at least 0"],
    [
      "a version only inherited",
      Object.fromEntries([["__proto__", { $version: 5 }]]),
      "patch.$version: not a whole number of at least 0",
    ],
    ["something that is not JSON", { $version: 5, a: undefined }, "patch: not JSON or nested too deeply"],
  ])("%s is malformed", (_, patch, problem) => {
    expect(applyDesiredPatch(current, patch)).toEqual({ status: "malformed", problem });
  });

  test.each([
    [0, "duplicate"],
    [3, "duplicate"],
    [4, "duplicate"],
    [5, "applied"],
    [6, "gap"],
    [900, "gap"],
  ])("version %i after version 4 is: %s", (version, status) => {
    expect(applyDesiredPatch(current, { $version: version, a: 1 }).status).toBe(status);
  });

  test("the next version is merged: null deletes, objects merge, lists replace", () => {
    const patch = { a: { b: null, c: [3] }, e: true, $version: 5, $metadata: {} };
    expect(applyDesiredPatch(current, patch)).toEqual({
      status: "applied",
      desired: { version: 5, properties: { a: { c: [3] }, d: "x", e: true } },
    });
  });

  test("patches in order lead where one merge after the other leads, whatever is repeated in between", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(anyJsonObject, fc.nat(3)), { maxLength: 8 }), (steps) => {
        let desired: Desired = { version: 0, properties: {} };
        let expected: JsonObject = {};
        const sent: JsonObject[] = [];
        for (const [patch, repeat] of steps) {
          const next = { ...patch, $version: sent.length + 1 };
          sent.push(next);
          const result = applyDesiredPatch(desired, next);
          if (result.status !== "applied") throw new Error(result.status);
          desired = result.desired;
          expected = mergePatch(expected, patch);
          const old = sent[Math.max(0, sent.length - 1 - repeat)];
          expect(applyDesiredPatch(desired, old).status).toBe("duplicate");
        }
        expect(desired.version).toBe(steps.length);
        expect(canonicalJson(desired.properties)).toBe(canonicalJson(expected));
      }),
    );
  });
});
