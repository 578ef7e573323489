import * as v from "valibot";
import type { Json } from "../platform/json.ts";
import { parseDuration } from "../platform/duration.ts";

/** A duration text within bounds; milliseconds come out. */
export function duration(shortest: string, longest: string) {
  return v.pipe(
    v.string(),
    v.transform(parseDuration),
    v.number(),
    v.minValue(parseDuration(shortest) ?? 0),
    v.maxValue(parseDuration(longest) ?? 0),
  );
}

/** A TCP port. */
export function port() {
  return v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
}

/** An absolute path in its shortest spelling, so that equal files have equal texts. */
export function absolutePath() {
  return v.pipe(v.string(), v.check(isCleanAbsolutePath));
}

/** What JSON can carry without loss: TOML's dates, infinities and integers beyond 2^53 are not among it. */
export function jsonValue() {
  return v.custom<Json>(isJson);
}

export function isCleanAbsolutePath(path: string): boolean {
  const names = path.split("/").slice(1);
  // oxlint-disable-next-line no-control-regex -- a path with control characters is a mistake or an attack
  if (!path.startsWith("/") || /[\u0000-\u001F\u007F]/.test(path)) return false;
  return names.every((name) => name !== "" && name !== "." && name !== "..");
}

function isJson(value: unknown): boolean {
  if (typeof value === "number")
    return Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value);
  if (typeof value !== "object" || value === null)
    return typeof value === "string" || typeof value === "boolean";
  if (Array.isArray(value)) return value.every(isJson);
  return Object.getPrototypeOf(value) === Object.prototype && Object.values(value).every(isJson);
}
