import type { IncomingMessage, ServerResponse } from "node:http";
import type { CloudMessage } from "./hub-messages.ts";
import type { Hub } from "./hub.ts";
import { hubErrorBody } from "./hub-error-body.ts";
import { judgeHubProof } from "./hub-login.ts";
import type { HttpsService } from "./https-front.ts";
import type { Journal } from "./journal.ts";
import type { ServerClock } from "./server-clock.ts";

interface HubOverHttpsOptions {
  readonly hub: Hub;
  readonly journal: Journal;
  readonly clock: ServerClock;
}

interface HttpsAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer | string;
}

/** A message that was fetched is kept from other fetches for so long. */
const lockMs = 60_000;
const largestTelemetryBytes = 256 * 1024;
/** System properties: their headers, and their short names on MQTT, under which telemetry is kept. */
const systemHeaders = {
  "iothub-messageid": "$.mid",
  "iothub-correlationid": "$.cid",
  "iothub-userid": "$.uid",
  "iothub-contenttype": "$.ct",
  "iothub-contentencoding": "$.ce",
} as const;

/**
 * The hub's device side over HTTPS: telemetry, and cloud-to-device messages with complete, reject and abandon.
 * File upload is not there.
 * @see https://learn.microsoft.com/rest/api/iothub/device
 */
export function serveHubOverHttps({ hub, journal, clock }: HubOverHttpsOptions): HttpsService {
  const lockedUntilMs = new Map<string, number>();

  const isLocked = (lockToken: string): boolean => (lockedUntilMs.get(lockToken) ?? 0) > clock.now();

  function keepTelemetry(clientId: string, request: IncomingMessage, bytes: Buffer): HttpsAnswer {
    if (bytes.length > largestTelemetryBytes) return failure(413, 413_001, "message larger than 256 KB");
    const body = bytes.toString();
    const properties = readProperties(request);
    journal.record({ endpoint: hub.name, kind: "telemetry", clientId, properties, body });
    hub.keepTelemetry(clientId, { atMs: clock.now(), properties, body });
    return { status: 204 };
  }

  function fetchMessage(deviceId: string): HttpsAnswer {
    for (const message of hub.messages.waiting(deviceId)) {
      const { lockToken, messageId, deliveryCount } = message;
      if (isLocked(lockToken) || !hub.messages.beginDelivery(deviceId, lockToken)) continue;
      lockedUntilMs.set(lockToken, clock.now() + lockMs);
      const sent = { kind: "message-sent", messageId, deliveryCount: deliveryCount + 1 } as const;
      journal.record({ endpoint: hub.name, clientId: deviceId, ...sent });
      return { status: 200, headers: headersOf(deviceId, message, deliveryCount + 1), body: message.body };
    }
    return { status: 204 };
  }

  function settle(deviceId: string, lockToken: string, how: "complete" | "reject" | "abandon"): HttpsAnswer {
    const isWaiting = hub.messages.waiting(deviceId).some((message) => message.lockToken === lockToken);
    if (!isWaiting || !isLocked(lockToken)) return failure(412, 412_002, "the lock is lost");
    lockedUntilMs.delete(lockToken);
    if (how === "complete") hub.messages.complete(deviceId, lockToken);
    if (how === "reject") hub.messages.reject(deviceId, lockToken);
    return { status: 204 };
  }

  function failure(status: number, errorCode: number, message: string): HttpsAnswer {
    const body = JSON.stringify(hubErrorBody(errorCode, message, clock.now()));
    return { status, body, headers: { "content-type": "application/json; charset=utf-8" } };
  }

  return async (request, response, certificates) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(Buffer.from(chunk));
    const url = new URL(request.url ?? "/", "https://hub");
    const call = readCall(request.method ?? "", url);
    const reply = (answer: HttpsAnswer): void => {
      const { method = "" } = request;
      journal.record({
        endpoint: hub.name,
        kind: "https",
        method,
        path: url.pathname,
        status: answer.status,
      });
      send(response, answer);
    };
    if (call === undefined) {
      reply(failure(404, 404_000, "nothing of the kind"));
      return;
    }
    const { authorization: password = "" } = request.headers;
    const verdict = judgeHubProof(hub, call.deviceId, { password, certificates }, clock.now());
    if (verdict.status === "refused") reply(failure(401, 401_003, "unauthorized"));
    else reply(perform(call, request, Buffer.concat(chunks)));
  };

  function perform(call: Call, request: IncomingMessage, body: Buffer): HttpsAnswer {
    switch (call.what) {
      case "send":
        return keepTelemetry(call.deviceId, request, body);
      case "fetch":
        return fetchMessage(call.deviceId);
      case "complete":
      case "reject":
      case "abandon":
        return settle(call.deviceId, call.lockToken, call.what);
    }
  }
}

type Call =
  | { readonly what: "send" | "fetch"; readonly deviceId: string }
  | {
      readonly what: "complete" | "reject" | "abandon";
      readonly deviceId: string;
      readonly lockToken: string;
    };

function readCall(method: string, { pathname, searchParams }: URL): Call | undefined {
  const [, id = "", queue, lockToken, abandon] =
    /^\/devices\/([^/]+)\/messages\/(events|devicebound)(?:\/([^/]+)(\/abandon)?)?\/?$/i.exec(pathname) ?? [];
  if (!searchParams.has("api-version")) return undefined;
  const deviceId = decodeURIComponent(id);
  const isQueue = queue?.toLowerCase() === "devicebound";
  if (lockToken === undefined) {
    if (method === "POST" && queue !== undefined && !isQueue) return { what: "send", deviceId };
    return method === "GET" && isQueue ? { what: "fetch", deviceId } : undefined;
  }
  if (!isQueue) return undefined;
  if (abandon !== undefined) return method === "POST" ? { what: "abandon", deviceId, lockToken } : undefined;
  if (method !== "DELETE") return undefined;
  return { what: searchParams.has("reject") ? "reject" : "complete", deviceId, lockToken };
}

function readProperties({ headers }: IncomingMessage): Readonly<Record<string, string>> {
  const properties: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith("iothub-app-")) properties[name.slice("iothub-app-".length)] = String(value);
  }
  for (const [header, name] of Object.entries(systemHeaders)) {
    const value = headers[header];
    if (value !== undefined) properties[name] = String(value);
  }
  return properties;
}

function headersOf(
  deviceId: string,
  message: CloudMessage,
  deliveryCount: number,
): Readonly<Record<string, string>> {
  const { messageId, correlationId, userId, contentType, contentEncoding } = message;
  const system = {
    // The lock token in quotes (RFC 9110 8.8.3).
    etag: `"${message.lockToken}"`,
    "iothub-to": `/devices/${deviceId}/messages/deviceBound`,
    "iothub-enqueuedtime": new Date(message.enqueuedAtMs).toUTCString(),
    "iothub-expiry": new Date(message.expiresAtMs).toUTCString(),
    "iothub-deliverycount": String(deliveryCount),
    "iothub-messageid": messageId,
    "iothub-correlationid": correlationId,
    "iothub-userid": userId,
    "iothub-contenttype": contentType,
    "iothub-contentencoding": contentEncoding,
    "iothub-ack": message.ack,
  };
  const own = Object.entries(message.properties ?? {}).map(([name, value]) => [
    `iothub-app-${name}`,
    value ?? "",
  ]);
  const given = Object.entries(system).filter(([, value]) => value !== undefined);
  return Object.fromEntries([...given, ...own]);
}

function send(response: ServerResponse, { status, headers = {}, body }: HttpsAnswer): void {
  response.writeHead(status, headers).end(body);
}
