import type { LocalFile } from "../config/config.ts";
import { isJson, type Json } from "../platform/json.ts";
import type { JsonCheck } from "../platform/json-schema.ts";
import type { Applier } from "./applier.ts";

/**
 * The same applier for fewer values: what the local JSON Schema does not allow is rejected with its path and what was expected, before the
 * applier sees it.
 */
export function withSchema(applier: Applier, property: string, schema: LocalFile): Applier {
  let check: JsonCheck | undefined;
  return {
    ...applier,
    fingerprint: `${applier.fingerprint}\n${schema.text}`,
    async parse(value) {
      check ??= await openSchema(schema);
      const problems = runCheck(check, value, property, schema.path);
      return problems.length > 0 ? { status: "rejected", problems } : applier.parse(value);
    },
  };
}

async function openSchema({ path, text }: LocalFile): Promise<JsonCheck> {
  // Loaded by the first property that has a schema: most agents have none.
  const { openJsonSchema } = await import("../platform/json-schema.ts");
  const schema: unknown = JSON.parse(text);
  if (!isJson(schema)) throw new TypeError(`${path} was not checked`);
  return openJsonSchema(schema);
}

/** A schema can be such that only this one value leads to its fault, say into a circle. */
function runCheck(check: JsonCheck, value: Json, property: string, path: string): readonly string[] {
  try {
    return check(value, property);
  } catch (error) {
    return [
      `${property}: the schema ${path} cannot judge it: ${error instanceof Error ? error.message : ""}`,
    ];
  }
}
