import type { MqttClient as Client } from "mqtt";
import type { TLSSocket } from "node:tls";
import { peerWords, type FailedPeer } from "../platform/connect-failure.ts";
import { AgentError, systemCode } from "../platform/failure.ts";
import { systemClock } from "../platform/time.ts";
import { failedPeer } from "./failed-peer.ts";
import { KeepAlive } from "./keep-alive.ts";
import type { LinkOptions } from "./link.ts";
import { unansweredFailure } from "./unanswered-failure.ts";

/** Looks after one line until it ends. */
export interface Watch {
  readonly lost: AbortSignal;
  /** CONNACK said yes: what breaks from now on is no failed connect. */
  opened(): void;
  readonly probe: () => void;
}

/**
 * Keeps a line alive once it is open, and says why it ended.
 *
 * The mqtt package may report one end as `error` twice and as `close`, and keeps some errors of the socket to itself;
 * the first reason counts.
 */
export function watchLine(client: Client, socket: TLSSocket, options: LinkOptions): Watch {
  const peer = failedPeer(options);
  const lost = new AbortController();
  let keepAlive: KeepAlive | undefined;
  const end = (error?: Error) => {
    const reason =
      keepAlive === undefined ? unansweredFailure(error, peer) : ended(error, peer, keepAlive.recentStallMs);
    keepAlive?.[Symbol.dispose]();
    lost.abort(reason);
  };
  socket.on("error", end);
  client.on("error", end);
  client.on("close", () => {
    end();
  });
  return {
    lost: lost.signal,
    probe: () => {
      keepAlive?.probe();
    },
    opened: () => {
      keepAlive = startKeepAlive(client, socket, options, (reason) => {
        lost.abort(reason);
        socket.destroy();
      });
    },
  };
}

function ended(error: Error | undefined, peer: FailedPeer, stallMs: number): AgentError {
  const why = systemCode(error) === "" ? "" : ` (${systemCode(error)})`;
  const stall =
    stallMs === 0
      ? ""
      : `. This process itself stood still for ${Math.round(stallMs / 1000)} s shortly before, which may be why`;
  return new AgentError(
    "mqtt/connection-lost",
    "retry",
    `the connection to ${peerWords(peer)} ended${why}${stall}`,
    error === undefined ? {} : { cause: error },
  );
}

function startKeepAlive(
  client: Client,
  socket: TLSSocket,
  options: LinkOptions,
  giveUp: (reason: AgentError) => void,
): KeepAlive {
  const keepAlive = new KeepAlive({
    keepAliveMs: options.keepAliveMs,
    clock: systemClock,
    ping: () => {
      client.sendPing();
    },
    bytesRead: () => socket.bytesRead,
    onDead: ({ silentMs, answerMs }) => {
      const message =
        `${peerWords(failedPeer(options))} fell silent ${Math.round(silentMs / 1000)} s ago and did not answer a ping within ${answerMs / 1000} s: ` +
        "the line died without a word, as when a cable is pulled or a firewall forgets it";
      giveUp(new AgentError("mqtt/line-dead", "retry", message));
    },
  });
  client.on("packetsend", () => {
    keepAlive.sent();
  });
  client.on("packetreceive", () => {
    keepAlive.received();
  });
  return keepAlive;
}
