import { canonicalJson, isJsonObject, ownMember, type Json, type JsonObject } from "../platform/json.ts";

/**
 * The merge patch that turns `previous` into `wanted`; undefined where nothing differs.
 *
 * Top-level keys that `wanted` does not name are not ours and stay; within the named ones everything else is deleted.
 * `mergePatch(previous, diffReported(previous, wanted))` equals `wanted` on its keys, where null stands for absent.
 */
export function diffReported(previous: JsonObject, wanted: JsonObject): JsonObject | undefined {
  return diffMembers(previous, wanted, Object.keys(wanted));
}

function diffMembers(
  previous: JsonObject,
  wanted: JsonObject,
  keys: Iterable<string>,
): JsonObject | undefined {
  const changes = new Map<string, Json>();
  for (const key of keys) {
    const change = diffValue(ownMember(previous, key), ownMember(wanted, key) ?? null);
    if (change !== undefined) changes.set(key, change);
  }
  return changes.size === 0 ? undefined : Object.fromEntries(changes);
}

function diffValue(previous: Json | undefined, wanted: Json): Json | undefined {
  if (wanted === null) return previous === undefined ? undefined : null;
  if (isJsonObject(previous) && isJsonObject(wanted))
    return diffMembers(previous, wanted, new Set([...Object.keys(previous), ...Object.keys(wanted)]));
  return previous !== undefined && canonicalJson(previous) === canonicalJson(wanted) ? undefined : wanted;
}
