import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { createWebSocketStream, WebSocket } from "ws";
import { untilAborted } from "../platform/abort.ts";
import { peerWords, type FailedPeer } from "../platform/connect-failure.ts";
import { AgentError, systemCode } from "../platform/failure.ts";
import { unansweredFailure } from "./unanswered-failure.ts";

/** The hub sends no message above 256 KB. */
const mostBytes = 512 * 1024;

/** Left out of the Host field (RFC 9110 section 7.2). */
const httpsPort = 443;

/**
 * Makes a WebSocket of a connection that is already secure, so that trust, names and keys are the same as for MQTT over TLS.
 * @param path `/$iothub/websocket`
 * @returns a stream that carries MQTT in binary messages [MQTT-6.0.0-1].
 * @throws AgentError `mqtt/websocket-refused`, `mqtt/closed-early` (retry), and the codes of `connectFailure`.
 */
export async function openWebSocket(
  socket: TLSSocket,
  path: string,
  peer: FailedPeer,
  signal: AbortSignal,
): Promise<Duplex> {
  const webSocket = new WebSocket(`ws://${peer.host}:${peer.port}${path}`, "mqtt", {
    createConnection: () => socket,
    defaultPort: httpsPort,
    perMessageDeflate: false,
    maxPayload: mostBytes,
  });
  const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
  webSocket.on("open", () => {
    resolve(streamOf(webSocket));
  });
  webSocket.on("unexpected-response", (_request, { statusCode }: IncomingMessage) => {
    reject(refused(peer, `with HTTP ${statusCode ?? "?"}`));
  });
  // This listener stays: an error without any would end the process.
  webSocket.on("error", (error) => {
    reject(upgradeFailure(error, peer));
  });
  try {
    return await untilAborted(promise, signal);
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** A packet is written in several small pieces, corked; without `_writev` each would be a message, a TLS record and a TCP segment. */
function streamOf(webSocket: WebSocket): Duplex {
  return Object.assign(createWebSocketStream(webSocket), {
    _writev(pieces: readonly { readonly chunk: Buffer }[], done: (error?: Error | null) => void) {
      webSocket.send(Buffer.concat(pieces.map(({ chunk }) => chunk)), done);
    },
  });
}

function upgradeFailure(error: Error, peer: FailedPeer): AgentError {
  const code = systemCode(error);
  // Node's HTTP parser names what it cannot read HPE_…; what ws cannot accept has no code.
  if (code === "" || code.startsWith("HPE_")) return refused(peer, "with something else", error);
  return unansweredFailure(error, peer);
}

function refused(peer: FailedPeer, how: string, cause?: Error): AgentError {
  return new AgentError(
    "mqtt/websocket-refused",
    "retry",
    `${peerWords(peer)} was asked for a WebSocket and answered ${how}. Check the endpoint, or a proxy that lets no WebSocket pass`,
    cause === undefined ? {} : { cause },
  );
}
