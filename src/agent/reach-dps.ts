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
  const giveUp = new AbortController();
  const { endpoint, transport } = provisioning;
  const port = transport === "websocket" ? provisioning.webSocketPort : provisioning.port;
  const peer = { host: endpoint, port, ...way };
  const failed = { ...peer, codes: connectCodes };
  const late = () => new AgentError("mqtt/connect-timeout", "retry", `${endpoint} did not answer`);
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
