/** What JSON can say. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

/** Deeper documents are refused before anything recurses over them. IoT Hub itself allows 10 levels in a twin. */
const maxDepth = 64;

/**
 * Merges as RFC 7396 says: null deletes, objects merge, everything else (arrays too) replaces.
 *
 * Both sides stay as they were. Keys are data whatever their name: `__proto__` becomes an own property.
 */
export function mergePatch(target: Json | undefined, patch: JsonObject): JsonObject;
export function mergePatch(target: Json | undefined, patch: Json): Json;
export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isJsonObject(patch)) return patch;
  const merged = new Map(isJsonObject(target) ? Object.entries(target) : []);
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key);
    else merged.set(key, mergePatch(merged.get(key), value));
  }
  return Object.fromEntries(merged);
}

export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Own members only: what the prototype has (`constructor`) is not in the document. */
export function ownMember(object: JsonObject, key: string): Json | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

/** Whether something from outside is JSON of a depth that may be walked (64 levels). */
export function isJson(value: unknown): value is Json {
  let level = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > maxDepth || !level.every((item) => isScalar(item) || isContainer(item))) return false;
    level = level.filter(isContainer).flatMap((item) => Object.values(item));
  }
  return true;
}

/** One text for equal values: keys sorted, no spaces. For digests and comparison. */
export function canonicalJson(value: Json): string {
  if (isJsonObject(value)) {
    const members = Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`);
    return `{${members.join(",")}}`;
  }
  if (typeof value === "object" && value !== null) return `[${value.map(canonicalJson).join(",")}]`;
  return JSON.stringify(value);
}

function isScalar(value: unknown): boolean {
  return value === null || typeof value === "boolean" || typeof value === "string" || Number.isFinite(value);
}

function isContainer(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  return Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype;
}

/** Parses bytes from outside; undefined where they are no JSON. */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8"));
  } catch {
    return undefined;
  }
}
