import { isIP, type TcpSocketConnectOpts } from "node:net";
import type { ConnectionOptions } from "node:tls";
import type { Secret } from "./secret.ts";
import type { WayOut } from "./way-out.ts";

export interface TlsPeer extends WayOut {
  /** Host name or address; also the name that the server's certificate must bear. */
  readonly host: string;
  readonly port: number;
  /** PEM roots to trust, and no others. */
  readonly trustedRoots: string;
  /** What the client shows and proves, where the server asks for it. */
  readonly clientCertificate?: {
    /** PEM, the leaf first. */
    readonly chain: string;
    readonly key: { readonly tlsKey: Secret<string> };
  };
}

/**
 * How long an address may take before the next one is tried too; an attempt that is slower counts as failed, unless it is the last
 * one. Node's own 250 ms are less than the way over a satellite and back.
 */
const attemptMs = 3_000;

/** The options with which every connection of the agent is secured: TLS 1.2 or later, and a server that proves its name. */
export function tlsOptions({
  host,
  port,
  names,
  trustedRoots,
  clientCertificate,
}: TlsPeer): ConnectionOptions & TcpSocketConnectOpts {
  return {
    host,
    port,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: attemptMs,
    ...(names !== undefined && { lookup: names.lookup }),
    ca: trustedRoots,
    minVersion: "TLSv1.2",
    // RFC 6066 section 3: an address is not a server name.
    ...(isIP(host) === 0 && { servername: host }),
    ...(clientCertificate !== undefined && {
      cert: clientCertificate.chain,
      key: clientCertificate.key.tlsKey.reveal(),
    }),
  };
}
