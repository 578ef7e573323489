import { AgentError } from "../platform/failure.ts";
import { parseRetryAfter } from "../platform/retry-after.ts";

/** Where a hub listens for MQTT over WebSocket. */
export const webSocketPath = "/$iothub/websocket";

/** Granted on every connection; a hub allows only documented filters. */
export const twinFilters: readonly string[] = [
  "$iothub/twin/res/#",
  "$iothub/twin/PATCH/properties/desired/#",
];

/** Direct methods; a device works without. */
export const methodFilter = "$iothub/methods/POST/#";

/** Cloud-to-device messages; a device works without. */
export function messageFilter(deviceId: string): string {
  return `devices/${deviceId}/messages/devicebound/#`;
}

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

export function methodAnswerTopic(rid: string, status: number): string {
  return `$iothub/methods/res/${status}/?$rid=${rid}`;
}

/** The hub's own names of what is said about a message; programs' own properties stand beside them. */
const systemNames = [
  ["messageId", "$.mid"],
  ["correlationId", "$.cid"],
  ["userId", "$.uid"],
  ["contentType", "$.ct"],
  ["contentEncoding", "$.ce"],
] as const;

/** What is said about a message in its topic. */
export interface MessageProperties {
  readonly messageId?: string;
  readonly correlationId?: string;
  readonly userId?: string;
  readonly contentType?: string;
  readonly contentEncoding?: string;
  /** The sender's own: a property without a value is "". */
  readonly properties: Readonly<Record<string, string>>;
}

/** `devices/gw-1/messages/events/%24.ct=application%2Fjson&colour=red`. */
export function telemetryTopic(deviceId: string, about: MessageProperties): string {
  const system = systemNames.flatMap(([name, short]): [string, string][] => {
    const value = about[name];
    return value === undefined ? [] : [[short, value]];
  });
  const bag = [...system, ...Object.entries(about.properties)]
    .map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`)
    .join("&");
  return `devices/${deviceId}/messages/events/${bag}`;
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
  | { readonly kind: "desired" }
  /** `rid` is the hub's and opaque: it goes back as it came. */
  | { readonly kind: "method"; readonly rid: string; readonly name: string }
  | { readonly kind: "message"; readonly about: MessageProperties };

/**
 * Reads `$iothub/twin/res/200/?$rid=7`, `$iothub/twin/PATCH/properties/desired/?$version=3`, `$iothub/methods/POST/ping/?$rid=1f` and
 * `devices/gw-1/messages/devicebound/%24.mid=7&colour=red`.
 */
export function readHubTopic(topic: string): Incoming | undefined {
  if (topic.startsWith("$iothub/twin/PATCH/properties/desired/")) return { kind: "desired" };
  const method = /^\$iothub\/methods\/POST\/([^/]+)\/\?\$rid=([^&]+)/.exec(topic);
  if (method !== null) return { kind: "method", name: decoded(method[1] ?? ""), rid: method[2] ?? "" };
  const message = /^devices\/.+?\/messages\/devicebound\/(.*)$/.exec(topic);
  if (message !== null) return { kind: "message", about: readBag(message[1] ?? "") };
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

function readBag(bag: string): MessageProperties {
  const all = new Map(
    bag
      .split("&")
      .filter((pair) => pair !== "")
      .map((pair): [string, string] => {
        const at = pair.includes("=") ? pair.indexOf("=") : pair.length;
        return [decoded(pair.slice(0, at)), decoded(pair.slice(at + 1))];
      }),
  );
  const system = systemNames.flatMap(([name, short]) => {
    const value = all.get(short);
    return value === undefined ? [] : [[name, value] as const];
  });
  const own = [...all].filter(([name]) => !name.startsWith("$."));
  return { ...Object.fromEntries(system), properties: Object.fromEntries(own) };
}

/** A damaged escape stays as it was sent. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
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
