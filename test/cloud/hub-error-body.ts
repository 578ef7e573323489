import { randomUUID } from "node:crypto";
import type { JsonObject } from "./json.ts";

/** Node's SDK looks at `errorCode` only, the others at the topic's status: both are always there. */
export function hubErrorBody(
  errorCode: number,
  message: string,
  nowMs: number,
  info: JsonObject | null = null,
): JsonObject {
  const timestampUtc = new Date(nowMs).toISOString();
  return { errorCode, message, trackingId: randomUUID(), timestampUtc, info };
}
