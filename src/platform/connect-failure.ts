import { AgentError, systemCode, type Remedy } from "./failure.ts";
import { proxyWords, type Proxy } from "./proxy.ts";

/** What can stand between us and a peer. */
type ConnectFact =
  | "name-not-found"
  | "unreachable"
  | "closed-early"
  | "tls-failed"
  | "tls-untrusted"
  | "tls-wrong-name"
  | "tls-validity"
  | "tls-intercepted"
  | "tls-incompatible"
  | "certificate-refused";

/** The codes of the room that connects: each written out, so that a search for a code finds its origin. */
export type ConnectCodes = Readonly<Record<ConnectFact, string>>;

interface Row {
  readonly fact: ConnectFact;
  readonly remedy: Remedy;
  readonly says: string;
}

const unreachable = (says: string): Row => ({ fact: "unreachable", remedy: "retry", says });
const untrusted: Row = {
  fact: "tls-untrusted",
  remedy: "operator",
  says: "its certificate comes from an authority that is not trusted here. Check [tls] trust_bundle, or a proxy that intercepts TLS",
};
/** A captive portal or a proxy that answers in plain HTTP; it may be gone in a minute. */
const intercepted: Row = {
  fact: "tls-intercepted",
  remedy: "retry",
  says: "it does not speak TLS. A captive portal or a proxy may stand in between, or the port is wrong",
};
const incompatible: Row = {
  fact: "tls-incompatible",
  remedy: "operator",
  says: "it and this device agree on no TLS version or cipher. TLS 1.2 or later is needed. A server that wants a client certificate may say the same",
};
const validity = (says: string): Row => ({ fact: "tls-validity", remedy: "operator", says });
const refused = (says: string): Row => ({ fact: "certificate-refused", remedy: "operator", says });

/** DNS is what has to be mended, whatever the old addresses said. */
const hinted: Row = {
  fact: "name-not-found",
  remedy: "retry",
  says: "DNS does not answer, and nobody does at the addresses that served before",
};

/** By the codes of libuv and OpenSSL, never by message text. */
const rows: Readonly<Record<string, Row>> = {
  ENOTFOUND: { fact: "name-not-found", remedy: "retry", says: "DNS does not know the name" },
  EAI_AGAIN: { fact: "name-not-found", remedy: "retry", says: "DNS does not answer" },
  ECONNREFUSED: unreachable("the port is closed"),
  EHOSTUNREACH: unreachable("there is no route to it"),
  ENETUNREACH: unreachable("there is no network"),
  ETIMEDOUT: unreachable("it does not answer"),
  ECONNRESET: unreachable("it closed the connection before it was secure"),
  EPIPE: unreachable("it closed the connection before it was secure"),
  ERR_SSL_WRONG_VERSION_NUMBER: intercepted,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: intercepted,
  ERR_SSL_UNSUPPORTED_PROTOCOL: incompatible,
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: incompatible,
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: incompatible,
  // RFC 8446 section 6.2. OpenSSL names each alert after the version that brought it; those of SSLv3 are SSL/TLS_… since 3.2.
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: refused("it finds this device's certificate bad"),
  ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: refused("it does not take this kind of device certificate"),
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED: refused("this device's certificate is revoked"),
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: refused("this device's certificate has expired by its clock"),
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: refused("it does not accept this device's certificate"),
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: refused(
    "it does not know the authority behind this device's certificate. Check that the intermediates are in the certificate file",
  ),
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: refused(
    "it wants a client certificate. Set certificate in the configuration",
  ),
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted,
  UNABLE_TO_GET_ISSUER_CERT: untrusted,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted,
  SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted,
  CERT_UNTRUSTED: untrusted,
  ERR_TLS_CERT_ALTNAME_INVALID: {
    fact: "tls-wrong-name",
    remedy: "operator",
    says: "its certificate was made for another name. Check the endpoint, DNS, or a proxy that intercepts TLS",
  },
  CERT_HAS_EXPIRED: validity("its certificate has expired by this device's clock. Check the clock first"),
  CERT_NOT_YET_VALID: validity(
    "its certificate is not yet valid by this device's clock. Check the clock first",
  ),
};

export interface FailedPeer {
  readonly codes: ConnectCodes;
  readonly host: string;
  readonly port: number;
  readonly proxy?: Pick<Proxy, "host" | "port">;
  /** `isHinted`: DNS did not answer, and addresses from before were tried. `trouble` ends a sentence, or is "". */
  readonly dns?: { readonly isHinted: boolean; readonly trouble: string };
  /** The client's key, if it has one: what made its signature fail says more than the handshake. */
  readonly key?: { readonly failure: unknown };
}

/** `hub.example:8883`, and through which proxy. */
export function peerWords({ host, port, proxy }: FailedPeer): string {
  return `${host}:${port}${proxy === undefined ? "" : ` (through ${proxyWords(proxy)})`}`;
}

/**
 * Gives a failed connect its code, remedy and sentence. Codes that are not known are retried and keep their number.
 * @see https://nodejs.org/api/tls.html#x509-certificate-error-codes
 */
export function connectFailure(error: unknown, peer: FailedPeer): AgentError {
  const { codes, key } = peer;
  const code = systemCode(error);
  if (code === "ERR_SSL_SIGNER_REFUSED" && key?.failure instanceof AgentError) return key.failure;
  const unknown: Row = {
    fact: "tls-failed",
    remedy: "retry",
    says: `the connection failed${code === "" ? "" : ` (${code})`}`,
  };
  const found = rows[code.replace("ERR_SSL_SSL/TLS_", "ERR_SSL_SSLV3_")] ?? unknown;
  const row = found.fact === "unreachable" && peer.dns?.isHinted === true ? hinted : found;
  const dns = row.fact === "name-not-found" ? (peer.dns?.trouble ?? "") : "";
  const message = `cannot connect to ${peerWords(peer)}: ${row.says}${eachAddress(error)}${dns}`;
  return new AgentError(codes[row.fact], row.remedy, message, { cause: error });
}

/** What each address said, where a name has several: ` (10.0.0.1: ECONNREFUSED, fd00::1: ENETUNREACH)`. */
function eachAddress(error: unknown): string {
  if (!(error instanceof AggregateError)) return "";
  const each = error.errors.flatMap((one: unknown) => {
    const { address } = addressOf(one);
    return address === undefined ? [] : [`${address}: ${systemCode(one)}`];
  });
  return each.length === 0 ? "" : ` (${each.join(", ")})`;
}

function addressOf(error: unknown): { readonly address?: string } {
  const isKnown = error instanceof Error && "address" in error && typeof error.address === "string";
  return isKnown ? { address: String(error.address) } : {};
}
