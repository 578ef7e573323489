import type { CloudEvent } from "./journal.ts";
import type { JsonValue } from "./json.ts";

/** One event as one line for people: when (UTC), where, who, what. */
export function journalLine(event: CloudEvent): string {
  const time = new Date(event.atMs).toISOString().slice(11, 23);
  const who = "clientId" in event && event.clientId !== undefined ? `${event.clientId}: ` : "";
  // What a device sends may hold anything, line breaks and escape sequences of terminals too.
  const what = `${who}${describe(event)}`.replaceAll(/\p{Cc}/gu, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
  return `${time}  ${event.endpoint.padEnd(12)} ${what}`;
}

function describe(event: CloudEvent): string {
  switch (event.kind) {
    case "connect":
      return event.returnCode === 0
        ? `connected, keep-alive ${event.keepAliveSeconds} s, ${event.cleanSession ? "clean" : "kept"} session`
        : `refused with CONNACK ${event.returnCode}: ${event.because ?? "no reason given"}`;
    case "disconnect":
      return `disconnected: ${event.because}`;
    case "subscribe":
      return `subscribed to ${event.filter}, QoS ${event.qos}`;
    case "register":
      return `register call answered ${outcome(event)}`;
    case "poll":
      return `operation polled, answered ${outcome(event)}`;
    case "lookup":
      return `status lookup answered ${outcome(event)}`;
    case "https":
      return `${event.method} ${event.path} answered ${event.status}`;
    case "twin-get":
      return `twin read, answered ${event.status}`;
    case "twin-patch":
      return `reported ${cut(event.body)}, answered ${event.status}${event.because === undefined ? "" : `: ${event.because}`}`;
    case "desired-push":
      return `sent desired version ${event.version}: ${json(event.patch)}`;
    case "method-call":
      return `method ${event.name} called, request ${event.rid}`;
    case "method-answer":
      return `method request ${event.rid} answered ${event.status}${event.isAwaited ? "" : ", nobody waits for it"}`;
    case "message-queued":
      return `message ${event.messageId} queued`;
    case "message-sent":
      return `message ${event.messageId} sent, delivery ${event.deliveryCount}`;
    case "message-settled":
      return `message ${event.messageId} settled: ${event.outcome}`;
    case "certificate":
      return `certificate request ${event.rid} answered ${outcome(event)}`;
    case "telemetry":
      return `telemetry ${cut(event.body)}${properties(event.properties)}`;
    case "line":
      return event.up ? "line is up" : "line is down";
    case "tls-failure":
      return `TLS failed: ${event.because}`;
    case "https-failure":
      return `HTTPS failed: ${event.because}`;
    case "fault":
      return `fault ${event.fault} struck at ${event.moment}: ${event.act}`;
    case "proxy":
      return `CONNECT ${event.target} ${event.status === "none" ? "not answered" : `answered ${event.status}`}`;
    case "fault-seed":
      return `chances of faults come from seed ${event.seed}`;
  }
}

function outcome(event: {
  readonly status: number;
  readonly errorCode?: number;
  readonly registrationStatus?: string;
}): string {
  const { status, errorCode, registrationStatus } = event;
  const details = [registrationStatus, errorCode].filter((detail) => detail !== undefined);
  return [status, ...details].join(" ");
}

function properties(bag: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(bag).map(([key, value]) => `${key}=${value}`);
  return pairs.length === 0 ? "" : ` with ${cut(pairs.join(" "))}`;
}

function json(value: JsonValue): string {
  return cut(JSON.stringify(value));
}

function cut(text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 200)}… (${text.length} characters)`;
}
