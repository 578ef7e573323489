import { constants } from "node:crypto";
import { createServer as createListener, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createServer, type TLSSocket, type TlsOptions } from "node:tls";
import type { ServerCredentials } from "./certificates.ts";
import type { Divert } from "./fault-connection.ts";

interface TlsEndpointOptions {
  readonly host: string;
  readonly port: number;
  readonly credentials: ServerCredentials;
  readonly onConnection: (socket: TLSSocket) => void;
  readonly onTlsFailure: (because: string) => void;
  /** May take a connection before TLS has begun. */
  readonly divert: Divert;
}

/** The TCP socket under a stream, TLS or what runs over it. */
const beneath = new WeakMap<Duplex, Socket>();

/** Remembers what carries this stream. */
export function carry(stream: Duplex, carrier: Duplex): void {
  const socket = beneath.get(carrier);
  if (socket !== undefined) beneath.set(stream, socket);
}

/** Ends the connection under this stream with a TCP RST. */
export function resetBeneath(stream: Duplex): void {
  beneath.get(stream)?.resetAndDestroy();
  stream.destroy();
}

/** One listening address. The line to it can be cut and restored; while cut, connections are refused. */
export interface TlsEndpoint {
  readonly isUp: boolean;
  readonly port: number;
  setLine(up: boolean): Promise<void>;
  close(): Promise<void>;
}

/** Listens with TLS 1.2 or newer, asking for a client certificate without insisting, as the services do. */
export async function listenTls(options: TlsEndpointOptions): Promise<TlsEndpoint> {
  const accepted = new Map<string, Socket>();
  const createTls = (changes: TlsOptions, onConnection = options.onConnection): Server => {
    const usual: TlsOptions = {
      cert: options.credentials.certPem,
      key: options.credentials.keyPem,
      minVersion: "TLSv1.2",
      requestCert: true,
      // A resumed session brings the client's certificate without the chain above it.
      secureOptions: constants.SSL_OP_NO_TICKET,
      rejectUnauthorized: false,
    };
    const tls = createServer({ ...usual, ...changes }, (secure) => {
      const raw = accepted.get(peerOf(secure));
      if (raw !== undefined) beneath.set(secure, raw);
      onConnection(secure);
    });
    tls.on("tlsClientError", (error) => options.onTlsFailure(error.message));
    return tls;
  };
  const usual = createTls({});
  // Small answers in a row would otherwise wait for the client's delayed acknowledgement.
  const server = createListener({ noDelay: true }, (socket) => {
    const peer = peerOf(socket);
    accepted.set(peer, socket);
    socket.once("close", () => accepted.delete(peer));
    const isDiverted = options.divert(socket, (raw, changes, onConnection) => {
      createTls(changes, onConnection).emit("connection", raw);
    });
    if (!isDiverted) usual.emit("connection", socket);
  });
  const port = await listen(server, options.port, options.host);
  let isUp = true;
  const cut = async (): Promise<void> => {
    if (!isUp) return;
    isUp = false;
    const { promise, resolve } = Promise.withResolvers<void>();
    server.close(() => resolve());
    for (const socket of accepted.values()) socket.destroy();
    await promise;
  };
  return {
    get isUp() {
      return isUp;
    },
    port,
    async setLine(up) {
      if (!up) await cut();
      else if (!isUp) {
        await listen(server, port, options.host);
        isUp = true;
      }
    },
    close: cut,
  };
}

/** @returns the port, chosen by the system where `port` is 0. */
async function listen(server: Server, port: number, host: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen({ port, host, exclusive: true }, () => {
    server.off("error", reject);
    resolve();
  });
  await promise;
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : port;
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress}:${remotePort}`;
}
