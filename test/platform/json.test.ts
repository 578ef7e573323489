import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  canonicalJson,
  isJson,
  isJsonObject,
  mergePatch,
  ownMember,
  type Json,
} from "../../src/platform/json.ts";
import { anyJson, anyJsonObject } from "./any-json.ts";

function parse(text: string): Json {
  const value: unknown = JSON.parse(text);
  if (!isJson(value)) throw new Error(`not JSON: ${text}`);
  return value;
}

function hasNullMember(value: Json): boolean {
  return (
    isJsonObject(value) && Object.values(value).some((member) => member === null || hasNullMember(member))
  );
}

describe("merge patch", () => {
  // RFC 7396, appendix A.
  test.each([
    ['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'],
    ['{"a":"b"}', '{"a":null}', "{}"],
    ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'],
    ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'],
    ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'],
    ['{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'],
    ['["a","b"]', '["c","d"]', '["c","d"]'],
    ['{"a":"b"}', '["c"]', '["c"]'],
    ['{"a":"foo"}', "null", "null"],
    ['{"a":"foo"}', '"bar"', '"bar"'],
    ['{"e":null}', '{"a":1}', '{"e":null,"a":1}'],
    ["[1,2]", '{"a":"b","c":null}', '{"a":"b"}'],
    ["{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'],
  ])("%s merged with %s is %s", (target, patch, result) => {
    expect(mergePatch(parse(target), parse(patch))).toEqual(parse(result));
  });

  test("a key called __proto__ is data and changes no prototype", () => {
    const merged = mergePatch(
      {},
      parse('{"__proto__":{"polluted":true},"a":{"__proto__":{"polluted":true}}}'),
    );
    expect(canonicalJson(merged)).toBe('{"__proto__":{"polluted":true},"a":{"__proto__":{"polluted":true}}}');
    expect(Reflect.get({}, "polluted")).toBeUndefined();
    expect(Object.getPrototypeOf(merged)).toBe(Object.prototype);
    expect(canonicalJson(mergePatch(merged, parse('{"__proto__":null,"a":null}')))).toBe("{}");
  });

  test("what objects inherit is not merged into", () => {
    expect(canonicalJson(mergePatch({}, parse('{"constructor":{"x":1}}')))).toBe('{"constructor":{"x":1}}');
  });

  test("a patch without nulls inside arrays leaves no null member behind", () => {
    fc.assert(
      fc.property(anyJsonObject, (patch) => {
        expect(hasNullMember(mergePatch({}, patch))).toBe(false);
      }),
    );
  });

  test("merging the same patch twice changes nothing more, and neither side is touched", () => {
    fc.assert(
      fc.property(anyJson, anyJson, (target, patch) => {
        const before = [canonicalJson(target), canonicalJson(patch)];
        const once = mergePatch(target, patch);
        expect(canonicalJson(mergePatch(once, patch))).toBe(canonicalJson(once));
        expect([canonicalJson(target), canonicalJson(patch)]).toEqual(before);
      }),
    );
  });

  test("each key ends as the patch says: deleted, merged or replaced; the others stay", () => {
    fc.assert(
      fc.property(anyJsonObject, anyJsonObject, (target, patch) => {
        const merged = mergePatch(target, patch);
        for (const key of new Set([...Object.keys(target), ...Object.keys(patch)])) {
          const wish = ownMember(patch, key);
          const old = ownMember(target, key);
          const found = ownMember(merged, key);
          const expected =
            wish === undefined
              ? old
              : wish === null
                ? undefined
                : isJsonObject(wish)
                  ? mergePatch(old, wish)
                  : wish;
          expect(found).toEqual(expected);
        }
      }),
    );
  });
});

describe("what counts as JSON", () => {
  test.each([
    ["undefined", undefined],
    ["a function", () => 1],
    ["not a number", Number.NaN],
    ["infinity", [Number.POSITIVE_INFINITY]],
    ["a big integer", 1n],
    ["a date", { at: new Date(0) }],
    ["an undefined member", { a: undefined }],
  ])("%s does not", (_, value) => {
    expect(isJson(value)).toBe(false);
  });

  test("64 levels do, and a document made to overflow the stack does not", () => {
    expect(isJson(JSON.parse("[".repeat(64) + "]".repeat(64)))).toBe(true);
    expect(isJson(JSON.parse("[".repeat(66) + "]".repeat(66)))).toBe(false);
    expect(isJson(JSON.parse('{"a":'.repeat(6_000) + "1" + "}".repeat(6_000)))).toBe(false);
  });

  test("whatever the JSON parser makes does", () => {
    fc.assert(
      fc.property(anyJson, (value) => {
        expect(isJson(JSON.parse(JSON.stringify(value)))).toBe(true);
      }),
    );
  });
});

describe("canonical text", () => {
  test("the order of keys makes no difference, the order of items does", () => {
    expect(canonicalJson(parse('{"b":1,"a":[2,1]}'))).toBe(canonicalJson(parse('{"a":[2,1],"b":1}')));
    expect(canonicalJson([1, 2])).not.toBe(canonicalJson([2, 1]));
  });

  test("it reads back as the same value", () => {
    fc.assert(
      fc.property(anyJson, (value) => {
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });
});
