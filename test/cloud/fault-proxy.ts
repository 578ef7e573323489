import { timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";

export interface ProxyBehaviour {
  /** What CONNECT must be authorized with (RFC 7617); undefined asks for nothing. */
  readonly credentials?: { readonly user: string; readonly password: string };
  /**
   * `tunnel` does its work; a status refuses every CONNECT; `portal` redirects it to a login page; `silence` never
   * answers; `drop` closes the connection instead of an answer.
   */
  readonly answer: "tunnel" | "portal" | "silence" | "drop" | number;
  /** A tunnel dies by TCP RST when so many bytes have come back through it. */
  readonly resetAfterBytes?: number;
}

interface ProxyOptions {
  /** Changes from one CONNECT to the next are allowed. */
  readonly behaviour: () => ProxyBehaviour;
  /** Turns names that exist only here into addresses. */
  readonly resolve: (hostName: string) => string;
  readonly onConnect: (target: string, status: number | "none") => void;
}

/** A running HTTP CONNECT proxy on a free port of 127.0.0.1. */
export interface FaultProxy {
  readonly port: number;
  /** Ends every tunnel; the proxy itself goes on. */
  cut(): void;
  close(): Promise<void>;
}

/** An HTTP proxy for tunnels and nothing else, well-behaved or not (RFC 9110 9.3.6). */
export async function startFaultProxy({ behaviour, resolve, onConnect }: ProxyOptions): Promise<FaultProxy> {
  const sockets = new Set<Socket>();
  const tunnels = new Set<Socket>();
  const server = createServer((_request, response) => {
    response.writeHead(405, { allow: "CONNECT" }).end();
  });
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => {});
  });
  server.on("connect", (request, client, head) => {
    const { answer, credentials, resetAfterBytes } = behaviour();
    const target = request.url ?? "";
    const status = isAuthorized(request, credentials) ? answer : 407;
    if (status !== "tunnel") {
      onConnect(target, refuse(client, status));
      return;
    }
    const { hostname, port } = new URL(`http://${target}`);
    const upstream = connect(Number(port === "" ? 80 : port), resolve(hostname));
    sockets.add(upstream);
    upstream.once("close", () => {
      sockets.delete(upstream);
      tunnels.delete(upstream);
      client.destroy();
    });
    client.once("close", () => upstream.destroy());
    upstream.once("error", () => onConnect(target, refuse(client, 502)));
    upstream.once("connect", () => {
      upstream.removeAllListeners("error").on("error", () => {});
      tunnels.add(upstream);
      onConnect(target, 200);
      client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      upstream.write(head);
      join(client, upstream, resetAfterBytes);
    });
  });
  const listening = Promise.withResolvers<void>();
  server.once("error", listening.reject);
  server.listen(0, "127.0.0.1", listening.resolve);
  await listening.promise;
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    cut() {
      for (const tunnel of tunnels) tunnel.destroy();
    },
    async close() {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      for (const socket of sockets) socket.destroy();
      await closed.promise;
    },
  };
}

function join(client: Duplex, upstream: Socket, resetAfterBytes: number | undefined): void {
  client.pipe(upstream);
  let passed = 0;
  upstream.on("data", (chunk: Buffer) => {
    passed += chunk.length;
    if (resetAfterBytes === undefined || passed < resetAfterBytes) client.write(chunk);
    else upstream.resetAndDestroy();
  });
}

/** @returns the status that was sent. */
function refuse(client: Duplex, answer: Exclude<ProxyBehaviour["answer"], "tunnel">): number | "none" {
  if (answer === "silence") return "none";
  if (answer === "drop") {
    client.destroy();
    return "none";
  }
  const status = answer === "portal" ? 302 : answer;
  const header =
    status === 407
      ? 'Proxy-Authenticate: Basic realm="latebind test cloud"\r\n'
      : status === 302
        ? "Location: http://portal.example/login\r\n"
        : "";
  client.end(`HTTP/1.1 ${status} \r\n${header}Content-Length: 0\r\nConnection: close\r\n\r\n`);
  return status;
}

function isAuthorized({ headers }: IncomingMessage, credentials: ProxyBehaviour["credentials"]): boolean {
  if (credentials === undefined) return true;
  const [, given = ""] = /^Basic (.+)$/i.exec(headers["proxy-authorization"] ?? "") ?? [];
  const expected = Buffer.from(`${credentials.user}:${credentials.password}`);
  const actual = Buffer.from(given, "base64");
  return actual.length === expected.length && timingSafeEqual(actual, expected);
}
