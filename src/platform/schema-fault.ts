import { dereference, type Schema } from "@cfworker/json-schema";
import { isJsonObject, type Json, type JsonObject } from "./json.ts";
import { openJsonSchema } from "./json-schema.ts";

const count = { type: "integer", minimum: 0 };
const texts = { type: "array", items: { type: "string" } };
const schema = { $ref: "#" };
const list = { type: "array", minItems: 1, items: schema };
const map = { type: "object", additionalProperties: schema };
const types = { enum: ["null", "boolean", "object", "array", "number", "integer", "string"] };

/** What a schema may say: every keyword of the drafts that are understood, so that a misspelt one is found. */
const rules: JsonObject = {
  type: ["object", "boolean"],
  additionalProperties: false,
  patternProperties: { "^x-": true },
  properties: {
    ...named(["$id", "id", "$schema", "$ref", "$anchor", "$comment", "title", "description", "format"], {
      type: "string",
    }),
    ...named(["contentEncoding", "contentMediaType"], { type: "string" }),
    ...named(["default", "const", "examples"], true),
    ...named(["deprecated", "readOnly", "writeOnly", "uniqueItems"], { type: "boolean" }),
    ...named(["maximum", "minimum"], { type: "number" }),
    ...named(["exclusiveMaximum", "exclusiveMinimum"], { type: ["number", "boolean"] }),
    multipleOf: { type: "number", exclusiveMinimum: 0 },
    ...named(["maxLength", "minLength", "maxItems", "minItems", "maxProperties", "minProperties"], count),
    ...named(["maxContains", "minContains"], count),
    pattern: { type: "string" },
    required: texts,
    enum: { type: "array", minItems: 1 },
    type: { anyOf: [types, { type: "array", minItems: 1, items: types }] },
    dependentRequired: { type: "object", additionalProperties: texts },
    ...named(["$defs", "definitions", "properties", "patternProperties", "dependentSchemas"], map),
    dependencies: { type: "object" },
    ...named(["allOf", "anyOf", "oneOf", "prefixItems"], list),
    items: { anyOf: [schema, list] },
    ...named(["not", "if", "then", "else", "contains", "propertyNames"], schema),
    ...named(["additionalProperties", "unevaluatedProperties"], schema),
    ...named(["additionalItems", "unevaluatedItems"], schema),
  },
};

/**
 * What makes a JSON Schema useless: no schema, a keyword nobody knows, a pattern that is none, a reference that leads nowhere or out of the
 * file. Completes "expected …, found …"; undefined where it can be used.
 */
export function findSchemaFault(schema: Json): string | undefined {
  const [problem] = openJsonSchema(rules)(schema, "schema");
  if (problem !== undefined) return problem;
  const pattern = stringsUnder(schema, "pattern").find((text) => !isPattern(text));
  if (pattern !== undefined) return `${JSON.stringify(pattern)} is not a regular expression`;
  const foreign = stringsUnder(schema, "$ref").find((reference) => !reference.startsWith("#"));
  if (foreign !== undefined)
    return `$ref ${JSON.stringify(foreign)} leads out of the file; only # is followed`;
  return findReferenceFault(schema);
}

/** The validator resolves a reference only when a value leads there; here all are followed. */
function findReferenceFault(schema: Json): string | undefined {
  const places: Readonly<Record<string, unknown>> = dereference(
    isSchema(schema) ? structuredClone(schema) : {},
  );
  for (const place of Object.values(places)) {
    const passed = new Set<unknown>();
    for (let at = place; at !== undefined; at = places[targetOf(at) ?? ""]) {
      if (passed.has(at)) return `${referenceOf(place)} leads back to itself`;
      passed.add(at);
      const target = targetOf(at);
      if (target !== undefined && places[target] === undefined) return `${referenceOf(at)} leads nowhere`;
    }
  }
  return undefined;
}

/** The validator notes at each reference where it leads to. */
function targetOf(place: unknown): string | undefined {
  // oxlint-disable-next-line no-underscore-dangle -- so the validator calls it
  return isSchema(place) ? place.__absolute_ref__ : undefined;
}

function referenceOf(place: unknown): string {
  return `$ref ${JSON.stringify(isSchema(place) ? place.$ref : "")}`;
}

function isSchema(value: unknown): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isPattern(text: string): boolean {
  try {
    return new RegExp(text, "u") instanceof RegExp;
  } catch {
    return false;
  }
}

/** The texts of a keyword anywhere in a schema; examples and constants are no schema. */
function stringsUnder(node: Json, keyword: string): readonly string[] {
  if (Array.isArray(node)) return node.flatMap((item) => stringsUnder(item, keyword));
  if (!isJsonObject(node)) return [];
  return Object.entries(node).flatMap(([key, member]) => {
    if (["const", "enum", "default", "examples"].includes(key)) return [];
    if (key === keyword && typeof member === "string") return [member];
    return stringsUnder(member, keyword);
  });
}

function named(names: readonly string[], rule: Json): JsonObject {
  return Object.fromEntries(names.map((name) => [name, rule]));
}
