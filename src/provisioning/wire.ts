import { AgentError } from "../platform/failure.ts";
import { parseJson } from "../platform/json.ts";
import { parseRetryAfter } from "../platform/retry-after.ts";
import { excerpt, member, text } from "./body.ts";
import { garbledWords } from "./garbled.ts";

/** What came back for one request. `status` is HTTP-like; `retryAfterMs` is the service's own wish. */
export interface Reply {
  readonly status: number;
  readonly retryAfterMs?: number;
  readonly body: Uint8Array;
}

export interface Assigned {
  readonly status: "assigned";
  readonly hub: string;
  readonly deviceId: string;
  readonly substatus?: string;
  readonly payload?: unknown;
  /** With a TPM: the device's key at the hub, wrapped for that TPM. Base64. */
  readonly authenticationKey?: string;
}

/** What a TPM introduces itself with: base64 of TPM2B_PUBLIC each. */
export interface TpmKeys {
  readonly endorsementKey: string;
  readonly storageRootKey: string;
}

type Answer =
  | Assigned
  | { readonly status: "assigning"; readonly operationId: string; readonly pollAfterMs: number }
  | { readonly status: "operation-unknown" };

/** Where DPS listens for MQTT over WebSocket. */
export const webSocketPath = "/$iothub/websocket";

/** The only filter that DPS grants. */
export const responseFilter = "$dps/registrations/res/#";

const defaultPollMs = 3_000;

/** There is no `?` before api-version here, unlike at the hub. */
export function dpsUsername(
  idScope: string,
  registrationId: string,
  apiVersion: string,
  agent: string,
): string {
  return `${idScope}/registrations/${registrationId}/api-version=${apiVersion}&ClientVersion=${encodeURIComponent(agent)}`;
}

/** What a DPS token is made for, over MQTT and HTTPS alike. */
export function dpsResource(idScope: string, registrationId: string): string {
  return `${idScope}/registrations/${registrationId}`;
}

export const dpsKeyName = "registration";

export function registerTopic(rid: string): string {
  return `$dps/registrations/PUT/iotdps-register/?$rid=${rid}`;
}

export function pollTopic(rid: string, operationId: string): string {
  return `$dps/registrations/GET/iotdps-get-operationstatus/?$rid=${rid}&operationId=${encodeURIComponent(operationId)}`;
}

/** Over HTTPS. IDs of every kind go in percent-encoded. */
export function registerPath(idScope: string, registrationId: string, apiVersion: string): string {
  return `/${idScope}/registrations/${encodeURIComponent(registrationId)}/register?api-version=${apiVersion}`;
}

export function pollPath(
  idScope: string,
  registrationId: string,
  operationId: string,
  apiVersion: string,
): string {
  const registration = `/${idScope}/registrations/${encodeURIComponent(registrationId)}`;
  return `${registration}/operations/${encodeURIComponent(operationId)}?api-version=${apiVersion}`;
}

export function registerBody(registrationId: string, payload: unknown, tpm?: TpmKeys): string {
  return JSON.stringify({
    registrationId,
    ...(tpm === undefined
      ? {}
      : { tpm: { endorsementKey: tpm.endorsementKey, storageRootKey: tpm.storageRootKey } }),
    ...(payload === undefined ? {} : { payload }),
  });
}

/** `$dps/registrations/res/202/?$rid=7&retry-after=3`; undefined for anything else. */
export function readResponseTopic(
  topic: string,
): { readonly rid: string; readonly status: number; readonly retryAfterMs?: number } | undefined {
  const match = /^\$dps\/registrations\/res\/(\d{3})\/\?(.*)$/.exec(topic);
  if (match === null) return undefined;
  const query = new URLSearchParams(match[2]);
  const rid = query.get("$rid");
  if (rid === null) return undefined;
  const retryAfterMs = parseRetryAfter(query.get("retry-after"));
  return { rid, status: Number(match[1]), ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}

/**
 * Makes a typed answer of a reply, or throws why there is none. `failed` and `disabled` arrive with status 200.
 * @throws AgentError as `register`.
 */
export function readReply(reply: Reply): Answer {
  const body = parseJson(reply.body);
  if (reply.status >= 300) return readRefusal(reply, body);
  if (body === undefined) throw malformed("a body that is no JSON", reply);
  const operationId = text(body, "operationId");
  const state = member(body, "registrationState");
  const status = text(state, "status") ?? text(body, "status");
  switch (status) {
    case "assigned":
      return readAssigned(state, reply);
    case "assigning":
    case "unassigned":
      if (operationId === undefined) throw malformed("an unfinished answer without operationId", reply);
      return { status: "assigning", operationId, pollAfterMs: reply.retryAfterMs ?? defaultPollMs };
    case "disabled":
      throw new AgentError(
        "provisioning/disabled",
        "operator",
        "the enrollment is disabled in DPS. Enable it in the portal, or wait if that is meant to be",
      );
    case "failed":
      throw new AgentError(
        "provisioning/failed",
        "retry",
        `DPS could not assign a hub: ${excerpt(text(state, "errorMessage") ?? "no reason given")} (${code(state)}). ` +
          "Check the linked hubs and the allocation policy of the enrollment",
      );
    case undefined:
      throw malformed("an answer without a status", reply);
    default:
      throw malformed(`status "${excerpt(status)}"`, reply);
  }
}

/**
 * Reads the answer to a registration without authorization: the key to sign the next one with, wrapped for the TPM that asked.
 * @returns base64.
 * @throws AgentError as `register`, where DPS refuses to ask for more.
 */
export function readChallenge(reply: Reply): string {
  const body = parseJson(reply.body);
  const challenge = text(body, "authenticationKey");
  if (challenge !== undefined && reply.status === 401) return challenge;
  if (reply.status >= 300) readRefusal(reply, body);
  throw malformed("no challenge for the TPM", reply);
}

function readAssigned(state: unknown, reply: Reply): Assigned {
  const hub = text(state, "assignedHub");
  const deviceId = text(state, "deviceId");
  if (hub === undefined || !isHostName(hub)) {
    throw malformed("an assignment without a legal hub name", reply);
  }
  // What a hub allows is its own affair, but a slash, a blank or a control character would change the meaning of the user name.
  if (deviceId === undefined || !/^[!-.0-~]{1,128}$/.test(deviceId)) {
    throw malformed("an assignment without a legal device ID", reply);
  }
  const substatus = text(state, "substatus");
  const payload = member(state, "payload");
  const authenticationKey = text(member(state, "tpm"), "authenticationKey");
  return {
    status: "assigned",
    hub,
    deviceId,
    ...(substatus === undefined ? {} : { substatus }),
    ...(payload === undefined || payload === null ? {} : { payload }),
    ...(authenticationKey === undefined ? {} : { authenticationKey }),
  };
}

/** RFC 1123 2.1. A name that can never be reached must not be stored: failures of the network do not lead back to DPS. */
function isHostName(name: string): boolean {
  const label = /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;
  return name.length <= 253 && name.split(".").every((part) => label.test(part));
}

/** @see https://learn.microsoft.com/azure/iot-dps/how-to-troubleshoot-dps#common-error-codes */
function readRefusal(reply: Reply, body: unknown): Answer {
  const trackingId = excerpt(text(body, "trackingId") ?? "absent");
  const says = `${excerpt(text(body, "message") ?? "no message")} (${reply.status}/${code(body)}, tracking ID ${trackingId})`;
  const after = reply.retryAfterMs === undefined ? {} : { retryAfterMs: reply.retryAfterMs };
  if (code(body) === "404203") return { status: "operation-unknown" };
  if (reply.status === 401 || reply.status === 403) {
    throw new AgentError(
      "provisioning/unauthorized",
      "operator",
      `DPS does not accept this device's key: ${says}. Compare the device key, certificate or endorsement key with the enrollment's; ` +
        "with a group, the certificate file has to hold the intermediates below the enrolled authority",
    );
  }
  if (reply.status === 404) {
    throw new AgentError(
      "provisioning/enrollment-not-found",
      "operator",
      `DPS knows no enrollment for this registration ID: ${says}. Create it, or mend registration_id`,
    );
  }
  if (reply.status === 429) {
    throw new AgentError("provisioning/throttled", "retry", `DPS asks for patience: ${says}`, after);
  }
  if (reply.status >= 500) {
    throw new AgentError("provisioning/unavailable", "retry", `DPS has a fault of its own: ${says}`, after);
  }
  throw new AgentError(
    "provisioning/bad-request",
    "operator",
    `DPS refused the registration: ${says}`,
    after,
  );
}

function code(body: unknown): string {
  const value = member(body, "errorCode");
  return typeof value === "number" || typeof value === "string" ? excerpt(String(value)) : "no code";
}

function malformed(what: string, { body }: Reply): AgentError {
  return new AgentError(
    "provisioning/malformed-answer",
    "retry",
    `DPS sent ${what}, which the protocol does not allow. ${garbledWords(body)}`,
  );
}
