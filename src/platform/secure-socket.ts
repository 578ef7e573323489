import { isIP, type Socket } from "node:net";
import { connect, type TLSSocket } from "node:tls";
import { untilAborted } from "./abort.ts";
import { connectFailure, peerWords, type FailedPeer } from "./connect-failure.ts";
import { AgentError } from "./failure.ts";
import { tlsOptions, type TlsPeer } from "./tls-options.ts";

/**
 * Opens a TLS connection whose server proved the name we asked for, with TLS 1.2 or later; through the proxy where there is one.
 * @param failed how to name the peer when that fails.
 * @throws AgentError with the codes of `connectFailure`, or `…/closed-early` (retry), or those of `openTunnel`; the signal's reason when aborted.
 */
export async function openSecureSocket(
  peer: TlsPeer,
  failed: FailedPeer,
  signal: AbortSignal,
): Promise<TLSSocket> {
  signal.throwIfAborted();
  const socket = connectTls(peer, failed, await tunnel(peer, signal));
  // Packets leave as several small writes; Nagle's algorithm would hold each back for the peer's delayed ACK, some 40 ms.
  socket.setNoDelay(true);
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
  const onSecure = () => {
    resolve(socket);
  };
  const named = withNames(failed, peer);
  const onClose = () => {
    reject(
      new AgentError(
        failed.codes["closed-early"],
        "retry",
        `${peerWords(failed)} closed the connection before it was secure`,
      ),
    );
  };
  // This listener stays: an error without any would end the process before the next owner has its own.
  socket.on("error", (error) => {
    reject(connectFailure(error, named()));
  });
  socket.once("secureConnect", onSecure).once("close", onClose);
  try {
    await untilAborted(promise, signal);
    await remember(peer, socket);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    socket.off("secureConnect", onSecure).off("close", onClose);
  }
}

/** What DNS has to do with a failure is known only when it happens. */
function withNames(failed: FailedPeer, { host, names, proxy }: TlsPeer): () => FailedPeer {
  if (names === undefined || proxy !== undefined) return () => failed;
  return () => ({ ...failed, dns: { isHinted: names.isHinted(host), trouble: names.trouble() } });
}

async function remember({ host, names, proxy }: TlsPeer, { remoteAddress }: TLSSocket): Promise<void> {
  const isName = proxy === undefined && isIP(host) === 0;
  if (isName && remoteAddress !== undefined) await names?.proved(host, remoteAddress);
}

/** Undefined where we connect by ourselves. */
async function tunnel({ host, port, proxy }: TlsPeer, signal: AbortSignal): Promise<Socket | undefined> {
  if (proxy === undefined) return undefined;
  // Loads Node's HTTP client, which a device without a proxy does not need for this.
  const { openTunnel } = await import("./proxy-tunnel.ts");
  return openTunnel(proxy, { host, port }, signal);
}

/** A key or certificate that OpenSSL cannot use is thrown at once. */
function connectTls(peer: TlsPeer, failed: FailedPeer, through: Socket | undefined): TLSSocket {
  try {
    return connect({ ...tlsOptions(peer), ...(through !== undefined && { socket: through }) });
  } catch (error) {
    through?.destroy();
    throw connectFailure(error, failed);
  }
}
