import type { Config } from "../config/config.ts";
import { connectCodes } from "../mqtt/connect-codes.ts";
import { within } from "../platform/abort.ts";
import { AgentError } from "../platform/failure.ts";
import { openSecureSocket } from "../platform/secure-socket.ts";
import type { TlsPeer } from "../platform/tls-options.ts";

const patienceMs = 10_000;

/**
 * Whether DPS can be reached over TLS with a certificate that proves its name: then the network is good, and no portal or proxy
 * stands in between. Nothing is said but the handshake.
 * @throws the signal's reason.
 */
export async function canReachDps(
  { provisioning }: Config,
  way: Pick<TlsPeer, "trustedRoots" | "proxy">,
  signal: AbortSignal,
): Promise<boolean> {
  for (const port of portsOf(provisioning)) {
    if (await canReach({ host: provisioning.endpoint, port, ...way }, signal)) return true;
  }
  return false;
}

/** A network that blocks one of the ports of `auto` is good enough. */
function portsOf({ transport, port, webSocketPort }: Config["provisioning"]): readonly number[] {
  switch (transport) {
    case "auto":
      return [port, webSocketPort];
    case "websocket":
      return [webSocketPort];
    case "mqtt":
    case "https":
      return [port];
  }
}

async function canReach(peer: TlsPeer, signal: AbortSignal): Promise<boolean> {
  const giveUp = new AbortController();
  const failed = { ...peer, codes: connectCodes };
  const late = () => new AgentError("mqtt/connect-timeout", "retry", `${peer.host} did not answer`);
  try {
    const socket = await within(patienceMs, late, openSecureSocket(peer, failed, giveUp.signal), signal);
    socket.destroy();
    return true;
  } catch (error) {
    giveUp.abort(error);
    signal.throwIfAborted();
    if (!(error instanceof AgentError)) throw error;
    return false;
  }
}
