import type { FailedPeer } from "../platform/connect-failure.ts";
import { connectCodes } from "./connect-codes.ts";
import type { LinkOptions } from "./link.ts";

/** How a failure names the server of a link. */
export function failedPeer({ host, port, clientCertificate }: LinkOptions): FailedPeer {
  return {
    codes: connectCodes,
    host,
    port,
    ...(clientCertificate !== undefined && { key: clientCertificate.key }),
  };
}
