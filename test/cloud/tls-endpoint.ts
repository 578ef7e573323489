import { createServer, type Server, type TLSSocket } from "node:tls";
import type { Socket } from "node:net";
import type { ServerCredentials } from "./certificates.ts";

interface TlsEndpointOptions {
  readonly host: string;
  readonly port: number;
  readonly credentials: ServerCredentials;
  readonly onConnection: (socket: TLSSocket) => void;
  readonly onTlsFailure: (because: string) => void;
}

/** One listening address. The line to it can be cut and restored; while cut, connections are refused. */
export interface TlsEndpoint {
  readonly isUp: boolean;
  setLine(up: boolean): Promise<void>;
  close(): Promise<void>;
}

/** Listens with TLS 1.2 or newer, asking for a client certificate without insisting, as the services do. */
export async function listenTls(options: TlsEndpointOptions): Promise<TlsEndpoint> {
  const sockets = new Set<Socket>();
  const server = createServer(
    {
      cert: options.credentials.certPem,
      key: options.credentials.keyPem,
      minVersion: "TLSv1.2",
      requestCert: true,
      // Small answers in a row would otherwise wait for the client's delayed acknowledgement.
      noDelay: true,
      rejectUnauthorized: false,
    },
    options.onConnection,
  );
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("tlsClientError", (error) => options.onTlsFailure(error.message));
  await listen(server, options.port, options.host);
  let isUp = true;
  const cut = async (): Promise<void> => {
    if (!isUp) return;
    isUp = false;
    const { promise, resolve } = Promise.withResolvers<void>();
    server.close(() => resolve());
    for (const socket of sockets) socket.destroy();
    await promise;
  };
  return {
    get isUp() {
      return isUp;
    },
    async setLine(up) {
      if (!up) await cut();
      else if (!isUp) {
        await listen(server, options.port, options.host);
        isUp = true;
      }
    },
    close: cut,
  };
}

async function listen(server: Server, port: number, host: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen({ port, host, exclusive: true }, () => {
    server.off("error", reject);
    resolve();
  });
  await promise;
}
