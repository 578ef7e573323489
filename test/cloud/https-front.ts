import type { X509Certificate } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { TLSSocket } from "node:tls";
import { createWebSocketStream, WebSocketServer } from "ws";
import { clientCertificates } from "./client-certificates.ts";
import type { MqttFront } from "./mqtt-front.ts";
import { carry } from "./tls-endpoint.ts";

/** Answers one HTTPS request. */
export type HttpsService = (
  request: IncomingMessage,
  response: ServerResponse,
  certificates: readonly X509Certificate[],
) => Promise<void>;

interface HttpsFrontOptions {
  /** Takes the byte streams of WebSockets. */
  readonly mqtt: MqttFront;
  readonly service: HttpsService;
  /** A request cut short by its client, or a bug: it is answered with a bare 500. */
  readonly onFailure: (because: string) => void;
}

export interface HttpsFront {
  /** Takes a connection whose handshake is done. */
  accept(socket: TLSSocket): void;
  close(): void;
}

/**
 * HTTPS and MQTT over WebSocket on one port, as at the services.
 *
 * The upgrade is taken on any path, because devices differ in it, and only for the subprotocol `mqtt` in any spelling,
 * which is echoed as it was offered. Text frames close the connection ([MQTT-6.0.0-1]).
 */
export function createHttpsFront({ mqtt, service, onFailure }: HttpsFrontOptions): HttpsFront {
  const sockets = new WeakMap<object, readonly X509Certificate[]>();
  const certificatesOf = (request: IncomingMessage): readonly X509Certificate[] =>
    sockets.get(request.socket) ?? [];
  const webSockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    handleProtocols: (offered) => mqttAmong(offered) ?? false,
  });
  const server = createServer((request, response) => {
    void answer(service, request, response, certificatesOf(request), onFailure);
  });
  server.on("upgrade", (request, socket, head) => {
    if (mqttAmong((request.headers["sec-websocket-protocol"] ?? "").split(/ *, */)) === undefined) {
      socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      webSocket.on("message", (_data, isBinary) => {
        if (!isBinary) webSocket.close(1003);
      });
      const stream = createWebSocketStream(webSocket);
      carry(stream, socket);
      mqtt.accept(stream, certificatesOf(request));
    });
  });
  return {
    accept(socket) {
      sockets.set(socket, clientCertificates(socket));
      server.emit("connection", socket);
    },
    close() {
      for (const webSocket of webSockets.clients) webSocket.terminate();
      webSockets.close();
      server.closeAllConnections();
    },
  };
}

function mqttAmong(offered: Iterable<string>): string | undefined {
  return [...offered].find((name) => name.toLowerCase() === "mqtt");
}

async function answer(
  service: HttpsService,
  request: IncomingMessage,
  response: ServerResponse,
  certificates: readonly X509Certificate[],
  onFailure: (because: string) => void,
): Promise<void> {
  try {
    await service(request, response, certificates);
  } catch (error) {
    onFailure(error instanceof Error ? (error.stack ?? error.message) : String(error));
    response.writeHead(500).end();
  }
}
