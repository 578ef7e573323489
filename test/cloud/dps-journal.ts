import type { DpsAnswer } from "./dps-answer.ts";
import { isJsonObject, parseJson, type JsonValue } from "./json.ts";

/** What of an answer goes into the journal. */
export function summarize({ status, body }: DpsAnswer): {
  readonly status: number;
  readonly errorCode?: number;
  readonly registrationStatus?: string;
} {
  const state = isJsonObject(body["registrationState"]) ? body["registrationState"] : body;
  const errorCode = state["errorCode"];
  const registrationStatus = body["status"];
  return {
    status,
    ...(typeof errorCode === "number" ? { errorCode } : {}),
    ...(typeof registrationStatus === "string" ? { registrationStatus } : {}),
  };
}

/** What a device sent along with its register call. */
export function customPayload(body: string): { readonly payload?: JsonValue } {
  const request = parseJson(body);
  const payload = isJsonObject(request) ? request["payload"] : undefined;
  return payload === undefined ? {} : { payload };
}
