import { randomUUID } from "node:crypto";
import type { JsonObject } from "./json.ts";

/** What DPS says to one call, before a transport writes it down. */
export interface DpsAnswer {
  readonly status: number;
  readonly body: JsonObject;
  readonly retryAfterSeconds?: number;
}

/** A refusal by status, code and text; the rest of its body is made when it is told. */
export interface DpsRefusal {
  readonly status: number;
  readonly errorCode: number;
  readonly message: string;
  readonly info?: JsonObject;
}

export const refusals = {
  badRequest: { status: 400, errorCode: 400004, message: "Bad request." },
  unauthorized: { status: 401, errorCode: 401002, message: "Unauthorized" },
  invalidCertificate: { status: 401, errorCode: 401002, message: "Invalid certificate." },
  authorityNotFound: { status: 401, errorCode: 401002, message: "CA certificate not found." },
  enrollmentNotFound: { status: 404, errorCode: 404201, message: "Enrollment not found." },
  registrationNotFound: { status: 404, errorCode: 404202, message: "Registration not found." },
  operationNotFound: { status: 404, errorCode: 404203, message: "Operation not found." },
  throttled: { status: 429, errorCode: 429001, message: "Too many requests." },
} as const satisfies Readonly<Record<string, DpsRefusal>>;

export function refuse({ status, errorCode, message, info }: DpsRefusal, nowMs: number): DpsAnswer {
  const timestampUtc = new Date(nowMs).toISOString();
  const body = { errorCode, trackingId: randomUUID(), message, timestampUtc };
  return { status, body: info === undefined ? body : { ...body, info } };
}
