import { randomUUID } from "node:crypto";
import type { Hub } from "./hub.ts";
import { parseJson } from "./json.ts";
import type { Journal } from "./journal.ts";
import type {
  ClientLine,
  ConnectRequest,
  ConnectVerdict,
  Conversation,
  MqttService,
} from "./mqtt-service.ts";
import { parsePropertyBag } from "./property-bag.ts";
import { parseSasToken } from "./sas-token.ts";
import type { ServerClock } from "./server-clock.ts";
import { renderTwin } from "./twin.ts";

interface HubOverMqttOptions {
  readonly hub: Hub;
  readonly journal: Journal;
  readonly clock: ServerClock;
  /** How long a connection outlives its token. */
  readonly tokenGraceMs: number;
}

/** Versions that today's SDKs and the documentation name. */
const apiVersions = new Set(["2019-10-01", "2020-09-30", "2021-04-12", "2025-08-01-preview"]);
const twinAnswers = "$iothub/twin/res/#";
const desiredPatches = "$iothub/twin/PATCH/properties/desired/#";
const getTopic = /^\$iothub\/twin\/GET\/\?\$rid=([^&]+)$/;
const patchTopic = /^\$iothub\/twin\/PATCH\/properties\/reported\/\?\$rid=([^&]+)$/;
const methodAnswerTopic = /^\$iothub\/methods\/res\/\d+\/\?\$rid=[^&]+$/;

/** The hub's device side over MQTT: who may connect, twin operations, desired pushes, telemetry. */
export function serveHubOverMqtt({ hub, journal, clock, tokenGraceMs }: HubOverMqttOptions): MqttService {
  const lines = new Map<string, ClientLine>();
  hub.listen({
    revoked: (deviceId, because) => lines.get(deviceId)?.drop(because),
    desiredChanged(deviceId, patch, version) {
      const body = JSON.stringify({ ...patch, $version: version });
      const topic = `$iothub/twin/PATCH/properties/desired/?$version=${version}`;
      if (lines.get(deviceId)?.send(desiredPatches, topic, body) === true) {
        journal.record({ endpoint: hub.name, kind: "desired-push", clientId: deviceId, version, patch });
      }
    },
  });

  return {
    sessions: "kept",
    decide(request) {
      const verdict = judge(hub, request, clock.now());
      if ("because" in verdict) return verdict;
      const deviceId = request.clientId;
      const open = (line: ClientLine): Conversation => {
        lines.set(deviceId, line);
        const cancel = clock.at(verdict.expiresAtMs + tokenGraceMs, () => line.drop("token expired"));
        return {
          ...converse(hub, journal, clock, line),
          closed() {
            cancel();
            // The successor with the same ID opens before its predecessor is closed.
            if (lines.get(deviceId) === line) lines.delete(deviceId);
          },
        };
      };
      return { returnCode: 0, open };
    },
  };
}

/** The service answers 5 whatever is wrong; the reason goes to the journal only. */
function refuse(because: string): { readonly returnCode: 5; readonly because: string } {
  return { returnCode: 5, because };
}

function judge(
  hub: Hub,
  request: ConnectRequest,
  nowMs: number,
): { readonly expiresAtMs: number } | Exclude<ConnectVerdict, { returnCode: 0 }> {
  const [, host = "", clientId, query = ""] = /^([^/]+)\/(.+)\/\?(.+)$/.exec(request.username) ?? [];
  if (!hub.hostNames.includes(host.toLowerCase()))
    return refuse("user name does not start with this hub's host");
  if (clientId !== request.clientId) return refuse("client ID differs from the user name's");
  const apiVersion = new URLSearchParams(query).get("api-version") ?? "";
  if (!apiVersions.has(apiVersion)) return refuse(`unknown api-version "${apiVersion}"`);
  const willTopics = `devices/${clientId}/messages/events/`;
  if (request.willTopic !== undefined && !request.willTopic.startsWith(willTopics)) {
    return refuse("will for an unknown topic");
  }
  if (request.password === undefined) return refuse("no password");
  const token = parseSasToken(request.password);
  if ("malformed" in token) return refuse(`token ${token.malformed}`);
  const objection = hub.findObjection(clientId, token, nowMs);
  return objection === undefined ? { expiresAtMs: token.expiresAtMs } : refuse(objection);
}

function converse(
  hub: Hub,
  journal: Journal,
  clock: ServerClock,
  line: ClientLine,
): Omit<Conversation, "closed"> {
  const deviceId = line.clientId;
  const seen = { endpoint: hub.name, clientId: deviceId };
  const events = `devices/${deviceId}/messages/events/`;

  function answerGet(rid: string): void {
    journal.record({ ...seen, kind: "twin-get", status: 200 });
    line.send(twinAnswers, `$iothub/twin/res/200/?$rid=${rid}`, renderTwin(hub.device(deviceId).twin));
  }

  function answerPatch(rid: string, body: string): void {
    const result = hub.patchReported(deviceId, parseJson(body));
    if (result.status === "rejected") {
      journal.record({ ...seen, kind: "twin-patch", status: 400, because: result.because, body });
      const error = errorBody(400004, result.because, clock.now());
      line.send(twinAnswers, `$iothub/twin/res/400/?$rid=${rid}`, error);
      return;
    }
    const { version } = result.section;
    journal.record({ ...seen, kind: "twin-patch", status: 204, version, body });
    line.send(twinAnswers, `$iothub/twin/res/204/?$rid=${rid}&$version=${version}`, "");
  }

  return {
    filters: [
      twinAnswers,
      desiredPatches,
      "$iothub/methods/POST/#",
      `devices/${deviceId}/messages/devicebound/#`,
    ],
    acceptsTopic: (topic) =>
      topic.startsWith(events) ||
      getTopic.test(topic) ||
      patchTopic.test(topic) ||
      methodAnswerTopic.test(topic),
    received({ topic, payload, retain, isWill }) {
      // Deleted between the packet's arrival and its turn: the connection is being dropped.
      if (!hub.has(deviceId)) return;
      const body = payload.toString();
      const getId = getTopic.exec(topic)?.[1];
      const patchId = patchTopic.exec(topic)?.[1];
      if (getId !== undefined) answerGet(getId);
      else if (patchId !== undefined) answerPatch(patchId, body);
      else if (topic.startsWith(events)) {
        const properties = {
          ...parsePropertyBag(topic.slice(events.length)),
          ...(retain ? { "mqtt-retain": "true" } : {}),
          ...(isWill ? { "iothub-MessageType": "Will" } : {}),
        };
        journal.record({ ...seen, kind: "telemetry", properties, body });
        hub.keepTelemetry(deviceId, { atMs: clock.now(), properties, body });
      }
    },
  };
}

/** Node's SDK looks at `errorCode` only, the others at the topic's status: both are always there. */
function errorBody(errorCode: number, message: string, nowMs: number): string {
  const timestampUtc = new Date(nowMs).toISOString();
  return JSON.stringify({ errorCode, message, trackingId: randomUUID(), timestampUtc, info: null });
}
