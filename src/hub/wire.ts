import { AgentError } from "../platform/failure.ts";
import { parseRetryAfter } from "../platform/retry-after.ts";

/** Where a hub listens for MQTT over WebSocket. */
export const webSocketPath = "/$iothub/websocket";

/** Granted on every connection; a hub allows only documented filters. */
export const twinFilters: readonly string[] = [
  "$iothub/twin/res/#",
  "$iothub/twin/PATCH/properties/desired/#",
];

/** There is a `?` before api-version here, unlike at DPS. Device IDs go in as they are. */
export function hubUsername(hub: string, deviceId: string, apiVersion: string, agent: string): string {
  return `${hub}/${deviceId}/?api-version=${apiVersion}&DeviceClientType=${encodeURIComponent(agent)}`;
}

/** What a hub token is made for. */
export function hubResource(hub: string, deviceId: string): string {
  return `${hub}/devices/${deviceId}`;
}

export function twinGetTopic(rid: string): string {
  return `$iothub/twin/GET/?$rid=${rid}`;
}

export function twinPatchTopic(rid: string): string {
  return `$iothub/twin/PATCH/properties/reported/?$rid=${rid}`;
}

export type Incoming =
  | {
      readonly kind: "response";
      readonly rid: string;
      readonly status: number;
      readonly retryAfterMs?: number;
      /** Of the reported properties, in the answer to a patch. */
      readonly version?: number;
    }
  | { readonly kind: "desired" };

/** Reads `$iothub/twin/res/200/?$rid=7` and `$iothub/twin/PATCH/properties/desired/?$version=3`. */
export function readHubTopic(topic: string): Incoming | undefined {
  if (topic.startsWith("$iothub/twin/PATCH/properties/desired/")) return { kind: "desired" };
  const match = /^\$iothub\/twin\/res\/(\d{3})\/\?(.*)$/.exec(topic);
  if (match === null) return undefined;
  const query = new URLSearchParams(match[2]);
  const rid = query.get("$rid");
  if (rid === null) return undefined;
  const retryAfterMs = parseRetryAfter(query.get("retry-after"));
  const after = retryAfterMs === undefined ? {} : { retryAfterMs };
  const version = /^\d{1,15}$/.test(query.get("$version") ?? "") ? Number(query.get("$version")) : undefined;
  return {
    kind: "response",
    rid,
    status: Number(match[1]),
    ...after,
    ...(version !== undefined && { version }),
  };
}

/**
 * What a hub means by refusing CONNECT. It says 5 for a deleted, disabled or unknown device, a wrong key and an expired token
 * alike, and at times to a healthy device: one refusal is not proof.
 * @see https://learn.microsoft.com/azure/iot/iot-mqtt-connect-to-iot-hub
 */
export function connectRefused(returnCode: number, hub: string, deviceId: string): AgentError {
  switch (returnCode) {
    case 2:
    case 4:
    case 5:
      return new AgentError(
        "hub/refused",
        "reprovision",
        `${hub} refused device "${deviceId}" (CONNACK ${returnCode}): deleted, disabled or moved there, another key, or a wrong clock`,
      );
    case 1:
      return new AgentError(
        "hub/protocol-refused",
        "operator",
        `${hub} does not speak our MQTT version (CONNACK 1)`,
      );
    case 3:
      return new AgentError("hub/busy", "retry", `${hub} is unavailable (CONNACK 3)`);
    default:
      return new AgentError(
        "hub/connack-unknown",
        "retry",
        `${hub} refused the connection with CONNACK ${returnCode}`,
      );
  }
}

/** What a hub means by refusing a twin request; the session lives on. */
export function twinRefused(
  what: string,
  status: number,
  says: string,
  retryAfterMs: number | undefined,
): AgentError {
  const after = retryAfterMs === undefined ? {} : { retryAfterMs };
  if (status === 429)
    return new AgentError("hub/throttled", "retry", `the hub throttled the ${what}: ${says}`, after);
  if (status >= 500)
    return new AgentError(
      "hub/unavailable",
      "retry",
      `the hub failed the ${what} (${status}): ${says}`,
      after,
    );
  // Wrong in themselves, which a part of them may not be; the others say something about us or the hub.
  const isWrong = status === 400 || status === 413;
  return new AgentError(
    isWrong ? "hub/twin-refused" : "hub/twin-denied",
    "operator",
    `the hub refused the ${what} (${status}): ${says}`,
    after,
  );
}
