import type { DpsAnswer } from "./dps-answer.ts";
import { customPayload, summarize } from "./dps-journal.ts";
import { isKnownApiVersion, tokenObjection, type Login } from "./dps-login.ts";
import type { Journal } from "./journal.ts";
import type { ClientLine, ConnectRequest, Conversation, MqttService } from "./mqtt-service.ts";
import type { Registrations } from "./registrations.ts";
import { parseSasToken } from "./sas-token.ts";
import type { ServerClock } from "./server-clock.ts";

interface DpsOverMqttOptions {
  readonly idScope: string;
  readonly registrations: Registrations;
  readonly journal: Journal;
  readonly clock: ServerClock;
}

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
  { clientId, username, password, certificates }: ConnectRequest,
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
  if (!isKnownApiVersion(apiVersion)) return { because: `unknown api-version "${apiVersion}"` };
  const login = { registrationId, apiVersion, transport: "mqtt" } as const;
  if (password === undefined || password === "") {
    if (certificates.length > 0) return { ...login, proof: { by: "certificate", chain: certificates } };
    return { because: "neither a password nor a client certificate" };
  }
  const token = parseSasToken(password);
  const because = tokenObjection(token, scope, registrationId, nowMs);
  if (because !== undefined || "malformed" in token) return { because: because ?? "token malformed" };
  return { ...login, proof: { by: "token", token } };
}

function converse(
  { registrations, journal }: DpsOverMqttOptions,
  login: Login,
  line: ClientLine,
): Conversation {
  const seen = { endpoint: "dps", clientId: line.clientId };

  async function register(rid: string, body: string): Promise<void> {
    const answer = await registrations.register(login, body);
    journal.record({ ...seen, kind: "register", ...summarize(answer), ...customPayload(body) });
    send(line, rid, answer);
  }

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
        journal.record({ ...seen, kind: "poll", operationId, ...summarize(answer) });
        send(line, rid, answer);
        return;
      }
      void register(rid, payload.toString());
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
