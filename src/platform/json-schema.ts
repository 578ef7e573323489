import { Validator, type OutputUnit, type Schema, type SchemaDraft } from "@cfworker/json-schema";
import { isJson, isJsonObject, ownMember, type Json } from "./json.ts";

/** Says what is wrong with a value: each place with its path, such as `network.dns[0]`; nothing where all is well. */
export type JsonCheck = (value: Json, name: string) => readonly string[];

/** Wrappers: what is inside is said by another unit, with a path that is closer. */
const wrappers = new Set([
  "$ref",
  "properties",
  "patternProperties",
  "additionalProperties",
  "unevaluatedProperties",
  "items",
  "prefixItems",
  "additionalItems",
  "unevaluatedItems",
  "allOf",
  "if",
  "then",
  "else",
]);

const maxProblems = 16;

/**
 * Makes a check of a JSON Schema (draft 4, 7, 2019-09, 2020-12; without `$schema` the last one).
 *
 * The schema is interpreted and not compiled to code, so that it can be trusted as little as other data.
 * @throws Error for a schema that cannot be used; `findSchemaFault` finds most faults beforehand.
 */
export function openJsonSchema(schema: Json): JsonCheck {
  // The validator leaves marks in what it is given.
  const copy: unknown = structuredClone(schema);
  const validator = new Validator(isSchema(copy) ? copy : {}, draftOf(schema), false);
  return (value, name) => {
    const { errors } = validator.validate(value);
    const leaves = errors.filter(({ keyword }) => !wrappers.has(keyword));
    return leaves.slice(0, maxProblems).map((unit) => explain(unit, schema, name));
  };
}

function isSchema(value: unknown): value is Schema {
  return isJson(value);
}

function draftOf(schema: Json): SchemaDraft {
  const uri = isJsonObject(schema) ? ownMember(schema, "$schema") : undefined;
  if (typeof uri !== "string") return "2020-12";
  if (uri.includes("draft-04")) return "4";
  if (uri.includes("draft-06") || uri.includes("draft-07")) return "7";
  return uri.includes("2019-09") ? "2019-09" : "2020-12";
}

function explain(
  { keyword, error, instanceLocation, keywordLocation }: OutputUnit,
  schema: Json,
  name: string,
): string {
  const path = name + tokensOf(instanceLocation).map(pathStep).join("");
  switch (keyword) {
    case "false":
      return `${path}: not allowed here`;
    case "pattern":
      return `${path}: expected a text that matches ${JSON.stringify(valueAt(schema, tokensOf(keywordLocation)) ?? "")}`;
    default:
      return `${path}: ${error.replace(/\.$/, "")}`;
  }
}

function pathStep(token: string): string {
  return /^\d+$/.test(token) ? `[${token}]` : `.${token}`;
}

/** `#/a/b~1c` as `["a", "b/c"]`. */
function tokensOf(pointer: string): readonly string[] {
  return pointer
    .split("/")
    .slice(1)
    .map((token) => decodeURIComponent(token).replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** What stands in the schema at a keyword location, which goes through references; undefined where it leads out of the document. */
function valueAt(schema: Json, tokens: readonly string[]): Json | undefined {
  let node: Json | undefined = schema;
  for (const token of tokens) {
    const next = childOf(node, token);
    node = token === "$ref" && typeof next === "string" ? valueAt(schema, tokensOf(next)) : next;
  }
  return node;
}

function childOf(node: Json | undefined, token: string): Json | undefined {
  if (isJsonObject(node)) return ownMember(node, token);
  // A list, or nothing: a text has no children here.
  return typeof node === "object" && node !== null ? Object.values(node)[Number(token)] : undefined;
}
