import { isIP } from "node:net";
import type { ConnectionOptions } from "node:tls";
import type { Proxy } from "./proxy.ts";
import type { Secret } from "./secret.ts";

export interface TlsPeer {
  /** Host name or address; also the name that the server's certificate must bear. */
  readonly host: string;
  readonly port: number;
  /** Where set, the only way out. */
  readonly proxy?: Proxy;
  /** PEM roots to trust, and no others. */
  readonly trustedRoots: string;
  /** What the client shows and proves, where the server asks for it. */
  readonly clientCertificate?: {
    /** PEM, the leaf first. */
    readonly chain: string;
    readonly key: { readonly tlsKey: Secret<string> };
  };
}

/** The options with which every connection of the agent is secured: TLS 1.2 or later, and a server that proves its name. */
export function tlsOptions({ host, port, trustedRoots, clientCertificate }: TlsPeer): ConnectionOptions {
  return {
    host,
    port,
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
