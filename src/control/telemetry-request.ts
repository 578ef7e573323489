import * as v from "valibot";
import type { Telemetry } from "../hub/session.ts";
import { isJson, type Json } from "../platform/json.ts";

const line = (most: number) => v.pipe(v.string(), v.minLength(1), v.maxLength(most), v.regex(/^\P{Cc}*$/u));
/** Names of the hub's own begin like this. */
const ownName = v.pipe(line(128), v.regex(/^(?!\$|iothub-)/i));

const request = v.strictObject({
  payload: v.custom<Json>(isJson),
  contentType: v.exactOptional(line(128)),
  properties: v.exactOptional(
    v.pipe(v.record(ownName, v.pipe(v.string(), v.maxLength(1024))), v.maxEntries(20)),
    {},
  ),
});

/** What a program of this device writes as `{"payload":{"t":21.5},"properties":{"colour":"red"}}`. */
export const telemetryExpected =
  '{"payload": any JSON, "contentType": optional text, "properties": optional, up to 20 texts whose names do not begin with $ or iothub-}';

/**
 * Makes a message of it. With a content type of its own the payload is a text and goes as it is; else it goes as JSON.
 * @returns undefined where it is not legal.
 */
export function parseTelemetry(body: unknown): Telemetry | undefined {
  const parsed = v.safeParse(request, body);
  if (!parsed.success) return undefined;
  const { payload, contentType, properties } = parsed.output;
  if (contentType !== undefined && typeof payload !== "string") return undefined;
  return {
    body: contentType !== undefined && typeof payload === "string" ? payload : JSON.stringify(payload),
    contentType: contentType ?? "application/json",
    contentEncoding: "utf-8",
    properties,
  };
}
