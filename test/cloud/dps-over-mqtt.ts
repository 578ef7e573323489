import type { DpsAnswer } from "./dps-answer.ts";
import type { Journal } from "./journal.ts";
import { isJsonObject, parseJson, type JsonValue } from "./json.ts";
import type { ClientLine, ConnectRequest, Conversation, MqttService } from "./mqtt-service.ts";
import type { Login, Registrations } from "./registrations.ts";
import { parseSasToken } from "./sas-token.ts";
import type { ServerClock } from "./server-clock.ts";

interface DpsOverMqttOptions {
  readonly idScope: string;
  readonly registrations: Registrations;
  readonly journal: Journal;
  readonly clock: ServerClock;
}

/** Versions that today's SDKs and the documentation name. */
const apiVersions = new Set(["2019-03-31", "2021-06-01", "2021-11-01-preview", "2025-07-01-preview"]);
const answers = "$dps/registrations/res/#";
const registerTopic = /^\$dps\/registrations\/PUT\/iotdps-register\/\?(.+)$/;
const pollTopic = /^\$dps\/registrations\/GET\/iotdps-get-operationstatus\/\?(.+)$/;

/** DPS over MQTT: who may connect, the register call and the polls. */
export function serveDpsOverMqtt(options: DpsOverMqttOptions): MqttService {
  return {
    sessions: "none",
    decide(request) {
      const login = readLogin(options.idScope, request, options.clock.now());
      if ("because" in login) return { returnCode: 5, because: login.because };
      return { returnCode: 0, open: (line) => converse(options, login, line) };
    },
  };
}

/** What can be told wrong without knowing the enrollments; a wrong key shows only in the answer to the register call. */
function readLogin(
  idScope: string,
  { clientId, username, password }: ConnectRequest,
  nowMs: number,
): Login | { readonly because: string } {
  const [, scope, registrationId = "", query = ""] =
    /^([^/]+)\/registrations\/([^/]+)\/(api-version=.+)$/.exec(username) ?? [];
  if (scope === undefined) return { because: "malformed user name" };
  if (scope !== idScope) return { because: "unknown ID scope" };
  if (clientId.toLowerCase() !== registrationId.toLowerCase()) {
    return { because: "client ID differs from the user name's registration ID" };
  }
  const apiVersion = new URLSearchParams(query).get("api-version") ?? "";
  if (!apiVersions.has(apiVersion)) return { because: `unknown api-version "${apiVersion}"` };
  if (password === undefined) return { because: "no password" };
  const token = parseSasToken(password);
  if ("malformed" in token) return { because: `token ${token.malformed}` };
  if (token.keyName !== undefined && token.keyName !== "registration") {
    return { because: "token names another key" };
  }
  if (token.resource.toLowerCase() !== `${scope}/registrations/${registrationId}`.toLowerCase()) {
    return { because: "token for another resource" };
  }
  if (token.expiresAtMs <= nowMs) return { because: "token expired" };
  return { registrationId, token };
}

function converse(
  { registrations, journal }: DpsOverMqttOptions,
  login: Login,
  line: ClientLine,
): Conversation {
  const seen = { endpoint: "dps", clientId: line.clientId };
  return {
    filters: [answers],
    acceptsTopic: (topic) => {
      const registerRid = parameter(registerTopic.exec(topic)?.[1], "$rid");
      const pollRid = parameter(pollTopic.exec(topic)?.[1], "$rid");
      return registerRid !== undefined || pollRid !== undefined;
    },
    received({ topic, payload }) {
      const registerQuery = registerTopic.exec(topic)?.[1];
      const query = registerQuery ?? pollTopic.exec(topic)?.[1];
      const rid = parameter(query, "$rid") ?? "";
      if (registerQuery === undefined) {
        const operationId = percentDecoded(parameter(query, "operationId") ?? "");
        const answer = registrations.poll(login, operationId);
        journal.record({ ...seen, kind: "poll", operationId, ...summary(answer) });
        send(line, rid, answer);
        return;
      }
      const body = payload.toString();
      const answer = registrations.register(login, body);
      journal.record({ ...seen, kind: "register", ...summary(answer), ...customPayload(body) });
      send(line, rid, answer);
    },
    closed() {
      // Nothing of a DPS session outlives its connection.
    },
  };
}

/** `$rid` first and no second `$`: Python's SDK reads it by position. */
function send(line: ClientLine, rid: string, { status, body, retryAfterSeconds }: DpsAnswer): void {
  const retryAfter = retryAfterSeconds === undefined ? "" : `&retry-after=${retryAfterSeconds}`;
  line.send(answers, `$dps/registrations/res/${status}/?$rid=${rid}${retryAfter}`, JSON.stringify(body));
}

function summary({ status, body }: DpsAnswer): {
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

function customPayload(body: string): { readonly payload?: JsonValue } {
  const request = parseJson(body);
  const payload = isJsonObject(request) ? request["payload"] : undefined;
  return payload === undefined ? {} : { payload };
}

/** The literal text of one parameter: a request ID goes back as it came. */
function parameter(query: string | undefined, name: string): string | undefined {
  const pair = query?.split("&").find((text) => text.startsWith(`${name}=`));
  const value = pair?.slice(name.length + 1);
  return value === "" ? undefined : value;
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
