import type { FailedPeer } from "../platform/connect-failure.ts";
import { connectCodes } from "./connect-codes.ts";
import type { LinkOptions } from "./link.ts";

/** How a failure names the server of a link. */
export function failedPeer(options: LinkOptions): FailedPeer {
  const { host, proxy, clientCertificate } = options;
  return {
    codes: connectCodes,
    host,
    port: portOf(options),
    ...(proxy !== undefined && { proxy }),
    ...(clientCertificate !== undefined && { key: clientCertificate.key }),
  };
}

/** The port that is connected to. */
function portOf({ transport, port, webSocket }: LinkOptions): number {
  return transport === "websocket" && webSocket !== undefined ? webSocket.port : port;
}
