import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isJson, type Json } from "../../src/platform/json.ts";
import { openJsonSchema } from "../../src/platform/json-schema.ts";
import { findSchemaFault } from "../../src/platform/schema-fault.ts";
import { anyJson } from "./any-json.ts";

const network: Json = {
  type: "object",
  required: ["mtu"],
  additionalProperties: false,
  properties: {
    mtu: { type: "integer", minimum: 576, maximum: 9000 },
    mode: { enum: ["dhcp", "static"] },
    dns: { type: "array", items: { $ref: "#/$defs/address" } },
    "a/b": { type: "string" },
  },
  $defs: { address: { type: "string", pattern: "^[0-9.]+$" } },
};

describe("a value that the schema does not allow is told with its path and what was expected", () => {
  test.each<[Json, readonly string[]]>([
    ["x", ['network: Instance type "string" is invalid. Expected "object"']],
    [{}, ['network: Instance does not have required property "mtu"']],
    [{ mtu: 1500, dns: ["1.1.1.1", "one"] }, ['network.dns[1]: expected a text that matches "^[0-9.]+$"']],
    [{ mtu: 1500, mode: "auto" }, ['network.mode: Instance does not match any of ["dhcp","static"]']],
    [{ mtu: 1500, evil: 1 }, ["network.evil: not allowed here"]],
    [{ mtu: 1500, "a/b": 1 }, ['network.a/b: Instance type "number" is invalid. Expected "string"']],
    [
      Object.fromEntries([
        ["mtu", 1500],
        ["__proto__", { x: 1 }],
      ]),
      ["network.__proto__: not allowed here"],
    ],
  ])("%j", (value, problems) => {
    expect(openJsonSchema(network)(value, "network")).toEqual(problems);
  });

  test("sixteen problems are enough", () => {
    const check = openJsonSchema({ items: { type: "string" } });
    expect(
      check(
        Array.from({ length: 1_000 }, () => 1),
        "list",
      ),
    ).toHaveLength(16);
  });

  test("the schema itself stays as it was", () => {
    const before = JSON.stringify(network);
    openJsonSchema(network)({ mtu: 1 }, "network");
    expect(Object.getOwnPropertySymbols(network)).toEqual([]);
    expect([JSON.stringify(network), Object.getOwnPropertyNames(network)]).toEqual([
      before,
      Object.keys(network),
    ]);
  });

  test.each(["http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-07/schema#"])(
    "drafts are told apart: %s",
    (draft) => {
      const check = openJsonSchema({ $schema: draft, items: [{ type: "string" }], additionalItems: false });
      expect(check(["a"], "list")).toEqual([]);
      expect(check([1, 2], "list")).toHaveLength(2);
    },
  );

  test("whatever the value, it is judged", () => {
    const check = openJsonSchema(network);
    fc.assert(
      fc.property(anyJson, (value) => {
        expect(check(value, "network").every((problem) => problem.startsWith("network"))).toBe(true);
      }),
    );
  });
});

describe("a schema that cannot be used", () => {
  test.each<[Json, string]>([
    [5, 'schema: Instance type "number" is invalid. Expected "object", "boolean"'],
    [{ requried: ["a"] }, "schema.requried: not allowed here"],
    [{ type: "strng" }, "schema.type: "],
    [
      { properties: { a: { minimum: "1" } } },
      'schema.properties.a.minimum: Instance type "string" is invalid',
    ],
    [{ properties: { a: { pattern: "(" } } }, '"(" is not a regular expression'],
    [{ $ref: "#/$defs/nope" }, '$ref "#/$defs/nope" leads nowhere'],
    [{ properties: { a: { $ref: "#/nope" } } }, '$ref "#/nope" leads nowhere'],
    [{ $ref: "https://example.com/schema.json" }, "leads out of the file"],
    [{ $ref: "#" }, '$ref "#" leads back to itself'],
  ])("%j", (schema, fault) => {
    expect(findSchemaFault(schema)).toContain(fault);
  });

  test.each<[Json]>([
    [true],
    [{}],
    [network],
    [{ $schema: "https://json-schema.org/draft/2020-12/schema", $id: "urn:x", "x-note": { any: "thing" } }],
    [{ properties: { child: { $ref: "#" } }, const: { pattern: "(" } }],
    [{ properties: { pattern: { type: "string" } } }],
  ])("is not %j", (schema) => {
    expect(findSchemaFault(schema)).toBeUndefined();
  });

  test("whatever the document, it is a schema or has a fault", () => {
    fc.assert(
      fc.property(anyJson, (document) => {
        fc.pre(isJson(document));
        expect(["string", "undefined"]).toContain(typeof findSchemaFault(document));
      }),
    );
  });
});
