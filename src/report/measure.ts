import { isJsonObject, type Json } from "../platform/json.ts";

/**
 * How much a document weighs in a twin, in bytes: the larger of the hub's own count (UTF-8 of keys and strings, 8 for a
 * number, 4 for a boolean) and the length of the JSON text.
 */
export function measureSize(value: Json): number {
  return Math.max(countAsHub(value), Buffer.byteLength(JSON.stringify(value)));
}

/** Objects and arrays within each other: 0 for a scalar, 1 for `{}`. */
export function measureDepth(value: Json): number {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Object.values(value).reduce<number>((deepest, item) => Math.max(deepest, measureDepth(item)), 0);
}

function countAsHub(value: Json): number {
  if (value === null) return 0;
  if (typeof value === "number") return 8;
  if (typeof value === "boolean") return 4;
  if (typeof value === "string") return Buffer.byteLength(value);
  const keys = isJsonObject(value) ? Object.keys(value) : [];
  return Object.values(value).reduce<number>(
    (sum, item) => sum + countAsHub(item),
    keys.reduce((sum, key) => sum + Buffer.byteLength(key), 0),
  );
}
