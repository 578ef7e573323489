import { randomUUID } from "node:crypto";
import type { JsonObject } from "./json.ts";

/** What DPS says to one call, before a transport writes it down. */
export interface DpsAnswer {
  readonly status: number;
  readonly body: JsonObject;
  readonly retryAfterSeconds?: number;
}

export function dpsError(status: number, errorCode: number, message: string, nowMs: number): DpsAnswer {
  const timestampUtc = new Date(nowMs).toISOString();
  return { status, body: { errorCode, trackingId: randomUUID(), message, timestampUtc } };
}
