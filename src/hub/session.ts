import { abortReason, untilAborted } from "../platform/abort.ts";
import { AgentError } from "../platform/failure.ts";
import type { WayOut } from "../platform/way-out.ts";
import { parseJson } from "../platform/json.ts";
import type { JsonObject } from "../platform/json.ts";
import type { Link, LinkProof, OpenLink, Transport } from "../mqtt/link.ts";
import { Callers, type Listeners } from "./callers.ts";
import { Requests, type TwinReply } from "./requests.ts";
import {
  connectRefused,
  messageFilter,
  methodFilter,
  readHubTopic,
  telemetryTopic,
  twinFilters,
  twinGetTopic,
  twinPatchTopic,
  twinRefused,
  webSocketPath,
  type MessageProperties,
} from "./wire.ts";

export interface HubConnection extends LinkProof, WayOut {
  readonly hub: string;
  readonly port: number;
  /** MQTT over TLS at `port` where not told. */
  readonly transport?: Transport;
  /** For MQTT over WebSocket; 443 where not told. */
  readonly webSocketPort?: number;
  readonly trustedRoots: string;
  readonly deviceId: string;
  readonly username: string;
  readonly keepAliveMs: number;
}

/** A message from this device to the cloud. */
export interface Telemetry extends MessageProperties {
  readonly body: string;
}

/** One connection to the assigned hub: accepted, and subscribed to its twin. */
export interface Session extends AsyncDisposable {
  /** Aborted with an AgentError when the connection ends without our wish. */
  readonly lost: AbortSignal;
  /** The whole twin as the hub has it: parsed JSON, not yet checked. */
  twin(signal: AbortSignal): Promise<unknown>;
  /**
   * Merges a patch into the reported properties.
   * @returns their version after that, where the hub says it.
   * @throws AgentError `hub/twin-refused` (operator: the patch is wrong, 400 or 413), `hub/twin-denied` (operator: another 4xx),
   *   `hub/throttled`, `hub/unavailable`, `hub/no-answer` (retry).
   */
  report(patch: JsonObject, signal: AbortSignal): Promise<number | undefined>;
  /**
   * Takes direct methods and messages from now on; what came before is taken first. Called once.
   * @returns why, for each of the two that the hub does not let us have: the session goes on without.
   * @throws AgentError whatever ends the link.
   */
  listen(listeners: Listeners, signal: AbortSignal): Promise<readonly AgentError[]>;
  /**
   * Sends one message; resolves when the hub has it.
   * @throws AgentError `mqtt/no-answer` (retry), or the reason of `lost`.
   */
  send(message: Telemetry, signal: AbortSignal): Promise<void>;
  /** The desired patches that came since the last call, oldest first; waits for one where there is none. */
  desiredPatches(...signals: readonly AbortSignal[]): Promise<readonly unknown[]>;
}

const connectTimeoutMs = 30_000;
const webSocketPort = 443;

/**
 * Connects to the hub and subscribes to the twin.
 * @throws AgentError `hub/refused` (reprovision), `hub/busy` (retry), `hub/protocol-refused` (operator),
 *   `hub/connack-unknown` (retry), and whatever the link throws.
 */
export async function openSession(
  openLink: OpenLink,
  to: HubConnection,
  signal: AbortSignal,
): Promise<Session> {
  const requests = new Requests();
  const inbox = new Inbox();
  const callers = new Callers();
  const result = await openLink(
    {
      ...to,
      host: to.hub,
      webSocket: { port: to.webSocketPort ?? webSocketPort, path: webSocketPath },
      clientId: to.deviceId,
      // A clean session would drop what the hub queued for us.
      cleanSession: false,
      connectTimeoutMs,
      onMessage(topic, body) {
        const incoming = readHubTopic(topic);
        switch (incoming?.kind) {
          case undefined:
            break;
          case "desired":
            inbox.put(parseJson(body));
            break;
          case "response":
            requests.settle(incoming.rid, { ...incoming, body });
            break;
          case "method":
          case "message":
            callers.take(incoming, body);
        }
      },
    },
    signal,
  );
  if (result.status === "refused") throw connectRefused(result.returnCode, to.hub, to.deviceId);
  const { link } = result;
  try {
    await link.subscribe(twinFilters, signal);
  } catch (error) {
    await link[Symbol.asyncDispose]();
    throw error;
  }
  return makeSession(link, to.deviceId, { requests, inbox, callers });
}

interface Mail {
  readonly requests: Requests;
  readonly inbox: Inbox;
  readonly callers: Callers;
}

function makeSession(link: Link, deviceId: string, { requests, inbox, callers }: Mail): Session {
  return {
    lost: link.lost,
    async twin(signal) {
      const reply = await requests.ask(link, twinGetTopic, "", signal);
      if (reply.status !== 200) throw refusal("twin request", reply);
      return parseJson(reply.body);
    },
    async report(patch, signal) {
      const reply = await requests.ask(link, twinPatchTopic, JSON.stringify(patch), signal);
      if (reply.status >= 300) throw refusal("reported properties", reply);
      return reply.version;
    },
    async listen(listeners, signal) {
      callers.open(link, listeners, signal);
      const filters = [methodFilter, messageFilter(deviceId)];
      const asked = await Promise.allSettled(filters.map(async (filter) => link.subscribe([filter], signal)));
      signal.throwIfAborted();
      if (link.lost.aborted) throw abortReason(link.lost);
      return asked.flatMap((answer) => {
        if (answer.status === "fulfilled") return [];
        if (!(answer.reason instanceof AgentError)) throw answer.reason;
        return [answer.reason];
      });
    },
    async send({ body, ...about }, signal) {
      await link.publish(telemetryTopic(deviceId, about), body, signal);
    },
    desiredPatches: async (...signals) => inbox.take(...signals, link.lost),
    async [Symbol.asyncDispose]() {
      await link[Symbol.asyncDispose]();
    },
  };
}

function refusal(what: string, reply: TwinReply): AgentError {
  const body = parseJson(reply.body);
  const says =
    typeof body === "object" && body !== null && "message" in body ? String(body.message) : "no reason given";
  return twinRefused(what, reply.status, says, reply.retryAfterMs);
}

/** Patches wait here until somebody asks. */
class Inbox {
  #patches: unknown[] = [];
  #wake = Promise.withResolvers<undefined>();

  put(patch: unknown): void {
    this.#patches.push(patch);
    this.#wake.resolve(undefined);
  }

  async take(...signals: readonly AbortSignal[]): Promise<readonly unknown[]> {
    if (this.#patches.length === 0) {
      // A promise of its own for each wait: on one that lasts, every wait that was given up would stay.
      this.#wake = Promise.withResolvers();
      await untilAborted(this.#wake.promise, ...signals);
    }
    const patches = this.#patches;
    this.#patches = [];
    return patches;
  }
}
