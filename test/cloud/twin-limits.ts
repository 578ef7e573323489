import { isJsonObject, type JsonObject, type JsonValue } from "./json.ts";

const maxBytes = { section: 32 * 1024, tags: 8 * 1024 };
const maxKeyBytes = 1024;
const maxStringBytes = 4 * 1024;
const maxDepth = 10;
const largestInteger = 4_503_599_627_370_495;
const smallestInteger = -4_503_599_627_370_496;

/**
 * The twin's documented limits: keys, strings, integers and depth of the patch, size of the section that it makes.
 * @returns the first problem in words, or undefined.
 * @see https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-device-twins#device-twin-size
 */
export function findTwinProblem(
  patch: JsonObject,
  result: JsonObject,
  place: "section" | "tags" = "section",
): string | undefined {
  const problem = findProblem(patch, 0);
  if (problem !== undefined) return problem;
  const most = maxBytes[place];
  return sizeOf(result) > most ? `it would be larger than ${most / 1024} KB` : undefined;
}

function findProblem(value: JsonValue, depth: number): string | undefined {
  if (typeof value === "string") {
    return Buffer.byteLength(value) > maxStringBytes ? "a string is longer than 4 KB" : undefined;
  }
  if (typeof value === "number") {
    const isOutside = Number.isInteger(value) && (value > largestInteger || value < smallestInteger);
    return isOutside ? `the integer ${value} is outside the allowed range` : undefined;
  }
  if (depth > maxDepth && value !== null && typeof value === "object")
    return "values are nested deeper than 10";
  if (Array.isArray(value)) {
    return firstOf(value as readonly JsonValue[], (entry) => findProblem(entry, depth + 1));
  }
  if (!isJsonObject(value)) return undefined;
  return firstOf(
    Object.entries(value),
    ([key, entry]) => findKeyProblem(key) ?? findProblem(entry, depth + 1),
  );
}

function findKeyProblem(key: string): string | undefined {
  if (key === "") return "a key is empty";
  if (Buffer.byteLength(key) > maxKeyBytes) return "a key is longer than 1 KB";
  // C0 and C1 control characters, dot, dollar and space.
  // eslint-disable-next-line no-control-regex
  return /[\u0000-\u001f\u007f-\u009f.$ ]/.test(key)
    ? `the key "${key}" has a forbidden character`
    : undefined;
}

/** Keys and values count; a number 8, a boolean 4, null nothing, braces nothing. */
function sizeOf(value: JsonValue): number {
  if (typeof value === "string") return Buffer.byteLength(value);
  if (typeof value === "number") return 8;
  if (typeof value === "boolean") return 4;
  if (value === null) return 0;
  if (Array.isArray(value)) {
    return (value as readonly JsonValue[]).reduce<number>((sum, entry) => sum + sizeOf(entry), 0);
  }
  return Object.entries(value).reduce((sum, [key, entry]) => sum + Buffer.byteLength(key) + sizeOf(entry), 0);
}

function firstOf<T>(entries: readonly T[], find: (entry: T) => string | undefined): string | undefined {
  for (const entry of entries) {
    const problem = find(entry);
    if (problem !== undefined) return problem;
  }
  return undefined;
}
