import * as fc from "fast-check";
import type { Json, JsonObject } from "../../src/platform/json.ts";

/** Few keys, so that documents meet; among them those that break careless code. */
const key = fc.constantFrom("a", "b", "c", "__proto__", "constructor", "toString", "ключ", "🔑", "");

const { object, value } = fc.letrec<{
  object: JsonObject;
  value: Json;
  scalar: Json;
  array: readonly Json[];
}>((tie) => ({
  scalar: fc.oneof(
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => (number === 0 ? 0 : number)),
    fc.string({ unit: "grapheme", maxLength: 8 }),
  ),
  array: fc.array(tie("value"), { maxLength: 4 }),
  // Not an object literal: that would make `__proto__` the prototype.
  object: fc
    .array(fc.tuple(key, tie("value")), { maxLength: 5 })
    .map((entries) => Object.fromEntries<Json>(entries)),
  value: fc.oneof({ maxDepth: 4 }, tie("scalar"), tie("array"), tie("object")),
}));

export const anyJson: fc.Arbitrary<Json> = value;
export const anyJsonObject: fc.Arbitrary<JsonObject> = object;
