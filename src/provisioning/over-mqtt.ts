import { randomUUID } from "node:crypto";
import { within } from "../platform/abort.ts";
import { AgentError } from "../platform/failure.ts";
import type { WayOut } from "../platform/way-out.ts";
import type { Link, LinkProof, OpenLink, Transport } from "../mqtt/link.ts";
import type { RegistrationTransport } from "./register.ts";
import {
  pollTopic,
  readResponseTopic,
  registerBody,
  registerTopic,
  responseFilter,
  webSocketPath,
  type Reply,
} from "./wire.ts";

export interface DpsConnection extends LinkProof, WayOut {
  readonly endpoint: string;
  readonly port: number;
  /** MQTT over TLS at `port` where not told. */
  readonly transport?: Transport;
  /** For MQTT over WebSocket; 443 where not told. */
  readonly webSocketPort?: number;
  readonly trustedRoots: string;
  readonly registrationId: string;
  readonly username: string;
  readonly payload?: unknown;
}

const connectTimeoutMs = 30_000;
const webSocketPort = 443;
const keepAliveMs = 60_000;
const answerTimeoutMs = 30_000;

/**
 * Opens the MQTT conversation: connected, and the response filter granted before anything is asked.
 * @throws AgentError `provisioning/not-accepted`, `provisioning/protocol-refused` (operator), `provisioning/unavailable`,
 *   `provisioning/connack-unknown` (retry) for a refused CONNECT, `provisioning/no-answer` (retry), and whatever the link throws.
 */
export async function openOverMqtt(
  openLink: OpenLink,
  to: DpsConnection,
  signal: AbortSignal,
): Promise<RegistrationTransport & AsyncDisposable> {
  const waiting = new Map<string, (reply: Reply) => void>();
  const result = await openLink(
    {
      ...to,
      host: to.endpoint,
      webSocket: { port: to.webSocketPort ?? webSocketPort, path: webSocketPath },
      clientId: to.registrationId,
      cleanSession: true,
      keepAliveMs,
      connectTimeoutMs,
      onMessage(topic, body) {
        const answer = readResponseTopic(topic);
        // An answer to a request of somebody else, or to one that was given up, is nobody's.
        if (answer !== undefined) waiting.get(answer.rid)?.({ ...answer, body });
      },
    },
    signal,
  );
  if (result.status === "refused") throw connectRefused(result.returnCode, to.endpoint);
  const { link } = result;
  try {
    await link.subscribe([responseFilter], signal);
  } catch (error) {
    await link[Symbol.asyncDispose]();
    throw error;
  }
  return conversation(link, waiting, to);
}

function conversation(
  link: Link,
  waiting: Map<string, (reply: Reply) => void>,
  to: DpsConnection,
): RegistrationTransport & AsyncDisposable {
  const ask = async (
    topicFor: (rid: string) => string,
    body: string,
    signal: AbortSignal,
  ): Promise<Reply> => {
    // Never used before, also in no earlier conversation: an answer that comes late must find nobody.
    const rid = randomUUID();
    const answer = Promise.withResolvers<Reply>();
    waiting.set(rid, answer.resolve);
    try {
      await link.publish(topicFor(rid), body, signal);
      return await within(answerTimeoutMs, noAnswer, answer.promise, link.lost, signal);
    } finally {
      waiting.delete(rid);
    }
  };
  return {
    register: async (signal) => ask(registerTopic, registerBody(to.registrationId, to.payload), signal),
    poll: async (operationId, signal) => ask((rid) => pollTopic(rid, operationId), "", signal),
    async [Symbol.asyncDispose]() {
      await link[Symbol.asyncDispose]();
    },
  };
}

function noAnswer(): AgentError {
  return new AgentError(
    "provisioning/no-answer",
    "retry",
    `DPS did not answer within ${answerTimeoutMs / 1000} s`,
  );
}

/** [MQTT-3.2.2.3]: 3 is "server unavailable"; DPS says 4 or 5 for a token, a scope or a name that it does not accept. */
function connectRefused(returnCode: number, endpoint: string): AgentError {
  if (returnCode === 3) {
    return new AgentError("provisioning/unavailable", "retry", `DPS at ${endpoint} is busy (CONNACK 3)`);
  }
  if (returnCode === 1) {
    const message = `DPS at ${endpoint} does not speak our MQTT version (CONNACK 1). Check the endpoint`;
    return new AgentError("provisioning/protocol-refused", "operator", message);
  }
  if (returnCode === 2 || returnCode === 4 || returnCode === 5) {
    return new AgentError(
      "provisioning/not-accepted",
      "operator",
      `DPS at ${endpoint} refused the connection (CONNACK ${returnCode}): it does not know the ID scope, or the token does not ` +
        "hold by its clock. Compare id_scope with the portal, and this device's clock with the true time",
    );
  }
  return new AgentError(
    "provisioning/connack-unknown",
    "retry",
    `DPS at ${endpoint} refused the connection with CONNACK ${returnCode}`,
  );
}
