// Only the client: the package's front door loads its WebSocket, proxy and browser parts too.
import mqttClient from "mqtt/lib/client";
import type { IClientOptions, MqttClient as Client } from "mqtt";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { untilAborted, within } from "../platform/abort.ts";
import { peerWords, type FailedPeer } from "../platform/connect-failure.ts";
import { AgentError } from "../platform/failure.ts";
import { openSecureSocket } from "../platform/secure-socket.ts";
import type { ConnectResult, Link, LinkOptions } from "./link.ts";
import { failedPeer } from "./failed-peer.ts";
import { watchLine, type Watch } from "./watch-line.ts";

const { default: MqttClient } = mqttClient;

/** How long the server may take for SUBACK or PUBACK. */
const answerTimeoutMs = 30_000;

/** How long a DISCONNECT may take to leave before the socket is cut. */
const closeTimeoutMs = 1_000;

/** The package's own keep-alive wakes up at half of it and notices a dead line late: `KeepAlive` does that work. */
const noTimer = { set: () => 0, clear: () => {} };

/** Opens one link with the mqtt package; its own reconnecting, queueing, pinging and caching stay off. See `OpenLink`. */
export async function openMqttLink(options: LinkOptions, signal: AbortSignal): Promise<ConnectResult> {
  const late = () =>
    new AgentError(
      "mqtt/connect-timeout",
      "retry",
      `${peerWords(failedPeer(options))} did not answer within ${options.connectTimeoutMs / 1000} s`,
    );
  const giveUp = new AbortController();
  const attempt = connect(options, giveUp.signal);
  try {
    return await within(options.connectTimeoutMs, late, attempt, signal);
  } catch (error) {
    giveUp.abort(error);
    void closeLate(attempt);
    throw error;
  }
}

/** CONNACK may come in the same moment as the abort: then nobody takes the link any more. */
async function closeLate(attempt: Promise<ConnectResult>): Promise<void> {
  try {
    const result = await attempt;
    if (result.status === "open") await result.link[Symbol.asyncDispose]();
  } catch {
    // The attempt failed, as it was told to.
  }
}

async function connect(options: LinkOptions, signal: AbortSignal): Promise<ConnectResult> {
  const peer = failedPeer(options);
  const socket = await openSecureSocket({ ...options, port: peer.port }, peer, signal);
  const stream = await openStream(socket, options, peer, signal);
  return connectOver({ socket, stream }, options, signal);
}

/** The connection itself, or a WebSocket over it. A request for a WebSocket never becomes anything else. */
async function openStream(
  socket: TLSSocket,
  { transport, webSocket }: LinkOptions,
  peer: FailedPeer,
  signal: AbortSignal,
): Promise<Duplex> {
  if (transport !== "websocket") return socket;
  if (webSocket === undefined) throw new TypeError("a WebSocket needs a port and a path");
  // Node's HTTP client and the WebSocket package are nothing that MQTT over TLS needs.
  const { openWebSocket } = await import("./web-socket.ts");
  return openWebSocket(socket, webSocket.path, peer, signal);
}

async function connectOver(
  { socket, stream }: { readonly socket: TLSSocket; readonly stream: Duplex },
  options: LinkOptions,
  signal: AbortSignal,
): Promise<ConnectResult> {
  const client = new MqttClient(() => stream, clientOptions(options));
  client.on("message", (topic: string, payload: Uint8Array) => {
    options.onMessage(topic, payload);
  });
  const { promise, resolve } = Promise.withResolvers<number>();
  client.on("packetreceive", (packet) => {
    if (packet.cmd === "connack") resolve(packet.returnCode ?? 0);
  });
  const watch = watchLine(client, socket, options);
  try {
    const returnCode = await untilAborted(promise, signal, watch.lost);
    if (returnCode === 0) {
      watch.opened();
      return { status: "open", link: makeLink(client, watch) };
    }
    client.end(true);
    return { status: "refused", returnCode };
  } catch (error) {
    client.end(true);
    throw error;
  }
}

function clientOptions(options: LinkOptions): IClientOptions {
  return {
    clientId: options.clientId,
    username: options.username,
    ...(options.password === undefined ? {} : { password: options.password.reveal() }),
    clean: options.cleanSession,
    keepalive: Math.round(options.keepAliveMs / 1000),
    protocolVersion: 4,
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    // The table of 65,536 prepared buffers costs 12 MB and 60 ms of start-up.
    writeCache: false,
    // Ours covers TCP and TLS too; this one only has to be later.
    connectTimeout: options.connectTimeoutMs * 2,
    timerVariant: noTimer,
  };
}

function makeLink(client: Client, { lost, probe }: Watch): Link {
  return {
    lost,
    probe,
    async subscribe(filters, signal) {
      await answered(`SUBACK for ${filters.join(" ")}`, requestSubscription(client, filters), lost, signal);
    },
    async publish(topic, payload, signal) {
      const { promise, resolve, reject } = Promise.withResolvers<undefined>();
      client.publish(topic, payload, { qos: 1 }, (error) => {
        if (error == null) resolve(undefined);
        else reject(endedBefore(`PUBACK for ${topic}`, error));
      });
      await answered(`PUBACK for ${topic}`, promise, lost, signal);
    },
    async [Symbol.asyncDispose]() {
      await end(client, lost.aborted);
    },
  };
}

/** A filter is refused by 0x80 in SUBACK, which the package keeps in `granted` beside its own error. */
async function requestSubscription(client: Client, filters: readonly string[]): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const request = Object.fromEntries(filters.map((filter) => [filter, { qos: 1 as const }]));
  client.subscribe(request, (error, granted, packet) => {
    const codes = packet?.granted ?? [];
    const refused = filters.filter((_filter, index) => Number(codes[index] ?? 0) >= 0x80);
    if (refused.length > 0) {
      reject(
        new AgentError(
          "mqtt/subscription-refused",
          "operator",
          `the server refused the subscription ${refused.join(" ")}`,
        ),
      );
    } else if (error !== null || granted === undefined) {
      reject(endedBefore(`SUBACK for ${filters.join(" ")}`, error));
    } else resolve(undefined);
  });
  await promise;
}

/** Waits for the server's answer, for the link's end, for the caller's abort, or for the deadline. */
async function answered(
  what: string,
  answer: Promise<void>,
  lost: AbortSignal,
  signal: AbortSignal,
): Promise<void> {
  // Rejected by the package after the link's end was already reported: that is no second failure.
  answer.catch(() => undefined);
  const late = () =>
    new AgentError("mqtt/no-answer", "retry", `no ${what} within ${answerTimeoutMs / 1000} s`);
  await within(answerTimeoutMs, late, answer, lost, signal);
}

function endedBefore(what: string, cause: Error | null): AgentError {
  return new AgentError("mqtt/connection-lost", "retry", `the connection ended before ${what}`, { cause });
}

/** Says DISCONNECT where there is a line, and cuts it where that takes too long. */
async function end(client: Client, isLost: boolean): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const done = () => {
    resolve(undefined);
  };
  const timer = setTimeout(() => {
    client.stream.destroy();
    done();
  }, closeTimeoutMs);
  client.end(isLost, {}, done);
  await promise;
  clearTimeout(timer);
}
