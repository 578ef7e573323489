import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer, type ConnectionOptions } from "node:tls";
import { createAuthority } from "../cloud/certificates.ts";

export interface MutualTlsServer extends AsyncDisposable {
  readonly port: number;
  /** The authority that its certificate is from. */
  readonly caPem: string;
  /** One connection from TLS to its end; the server greets with the common name that the client proved. */
  handshake(options: ConnectionOptions): Promise<Handshake>;
}

export type Handshake =
  | { readonly status: "accepted"; readonly commonName: string; readonly protocol: string | null }
  | { readonly status: "failed"; readonly error: NodeJS.ErrnoException };

/** Starts a server on loopback that lets in only who proves to hold the key of one of these certificates. */
export async function startMutualTls(clientCertificates: readonly string[]): Promise<MutualTlsServer> {
  const authority = await createAuthority("mutual TLS test");
  const { certPem, keyPem } = await authority.issueServer("127.0.0.1", ["localhost"]);
  const server = createServer({
    cert: certPem,
    key: keyPem,
    ca: [...clientCertificates],
    requestCert: true,
    rejectUnauthorized: true,
  });
  server.on("secureConnection", (socket) => {
    socket.on("error", () => undefined);
    socket.end(String(socket.getPeerCertificate().subject.CN));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // eslint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP server has no other kind of address
  const { port } = server.address() as AddressInfo;
  return {
    port,
    caPem: authority.caPem,
    handshake: async (options) =>
      handshake({ host: "127.0.0.1", port, servername: "localhost", ca: authority.caPem, ...options }),
    [Symbol.asyncDispose]: async () => {
      server.close();
      await once(server, "close");
    },
  };
}

/** A TLS 1.3 client learns only after its own handshake whether the server took the certificate: hence the greeting. */
async function handshake(options: ConnectionOptions): Promise<Handshake> {
  const { promise, resolve } = Promise.withResolvers<Handshake>();
  const socket = connect(options);
  let commonName = "";
  socket.setEncoding("utf8").on("data", (text: string) => (commonName += text));
  socket.on("error", (error: NodeJS.ErrnoException) => {
    resolve({ status: "failed", error });
  });
  socket.on("end", () => {
    resolve({ status: "accepted", commonName, protocol: socket.getProtocol() });
  });
  return promise.finally(() => socket.destroy());
}
