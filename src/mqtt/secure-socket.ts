import { isIP } from "node:net";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { untilAborted } from "../platform/abort.ts";
import { AgentError } from "../platform/failure.ts";
import { connectFailure } from "./connect-failure.ts";

/**
 * Opens a TLS connection whose server proved the name we asked for, with TLS 1.2 or later.
 * @throws AgentError as `OpenLink`; the signal's reason when aborted.
 */
export async function openSecureSocket(
  host: string,
  port: number,
  trustedRoots: string,
  signal: AbortSignal,
): Promise<TLSSocket> {
  signal.throwIfAborted();
  const options: ConnectionOptions = { host, port, ca: trustedRoots, minVersion: "TLSv1.2" };
  // RFC 6066 section 3: an address is not a server name.
  if (isIP(host) === 0) options.servername = host;
  const socket = connect(options);
  // MQTT packets leave as several small writes; Nagle's algorithm would hold each back for the peer's delayed ACK, some 40 ms.
  socket.setNoDelay(true);
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
  const onSecure = () => {
    resolve(socket);
  };
  const onClose = () => {
    reject(
      new AgentError(
        "mqtt/closed-early",
        "retry",
        `${host}:${port} closed the connection before it was secure`,
      ),
    );
  };
  // This listener stays: an error without any would end the process before the next owner has its own.
  socket.on("error", (error) => {
    reject(connectFailure(error, host, port));
  });
  socket.once("secureConnect", onSecure).once("close", onClose);
  try {
    return await untilAborted(promise, signal);
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    socket.off("secureConnect", onSecure).off("close", onClose);
  }
}
