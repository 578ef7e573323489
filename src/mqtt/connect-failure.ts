import { AgentError, systemCode, type Remedy } from "../platform/failure.ts";

interface Row {
  readonly code: string;
  readonly remedy: Remedy;
  readonly says: string;
}

const unreachable = (says: string): Row => ({ code: "mqtt/unreachable", remedy: "retry", says });
const untrusted: Row = {
  code: "mqtt/tls-untrusted",
  remedy: "operator",
  says: "its certificate comes from an authority that is not trusted here. Check [tls] trust_bundle, or a proxy that intercepts TLS",
};
/** A captive portal or a proxy that answers in plain HTTP; it may be gone in a minute. */
const intercepted: Row = {
  code: "mqtt/tls-intercepted",
  remedy: "retry",
  says: "it does not speak TLS. A captive portal or a proxy may stand in between, or the port is wrong",
};
const incompatible: Row = {
  code: "mqtt/tls-incompatible",
  remedy: "operator",
  says: "it and this device agree on no TLS version or cipher. TLS 1.2 or later is needed",
};
const validity = (says: string): Row => ({ code: "mqtt/tls-validity", remedy: "operator", says });

/** By the codes of libuv and OpenSSL, never by message text. */
const rows: Readonly<Record<string, Row>> = {
  ENOTFOUND: { code: "mqtt/name-not-found", remedy: "retry", says: "DNS does not know the name" },
  EAI_AGAIN: { code: "mqtt/name-not-found", remedy: "retry", says: "DNS does not answer" },
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
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted,
  UNABLE_TO_GET_ISSUER_CERT: untrusted,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted,
  SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted,
  CERT_UNTRUSTED: untrusted,
  ERR_TLS_CERT_ALTNAME_INVALID: {
    code: "mqtt/tls-wrong-name",
    remedy: "operator",
    says: "its certificate was made for another name. Check the endpoint, DNS, or a proxy that intercepts TLS",
  },
  CERT_HAS_EXPIRED: validity("its certificate has expired by this device's clock. Check the clock first"),
  CERT_NOT_YET_VALID: validity(
    "its certificate is not yet valid by this device's clock. Check the clock first",
  ),
};

/**
 * Gives a failed connect its code, remedy and sentence. Codes that are not known are retried and keep their number.
 * @see https://nodejs.org/api/tls.html#x509-certificate-error-codes
 */
export function connectFailure(error: unknown, host: string, port: number): AgentError {
  const code = systemCode(error);
  const row = rows[code] ?? {
    code: "mqtt/tls-failed",
    remedy: "retry" as const,
    says: `the connection failed${code === "" ? "" : ` (${code})`}`,
  };
  return new AgentError(row.code, row.remedy, `cannot connect to ${host}:${port}: ${row.says}`, {
    cause: error,
  });
}

/**
 * Gives its code to what happens between the handshake and CONNACK. On TLS 1.3 the server's alert comes only now, so a TLS error is
 * still a failed handshake; what has no code comes from the parser of MQTT.
 */
export function unansweredFailure(error: Error | undefined, host: string, port: number): AgentError {
  const code = systemCode(error);
  const options = error === undefined ? {} : { cause: error };
  if (error === undefined || code === "ECONNRESET" || code === "EPIPE") {
    const message = `${host}:${port} closed the connection before it answered CONNECT`;
    return new AgentError("mqtt/closed-early", "retry", message, options);
  }
  if (code === "") {
    const message = `${host}:${port} does not speak MQTT. Check the endpoint and the port`;
    return new AgentError("mqtt/not-mqtt", "retry", message, options);
  }
  return connectFailure(error, host, port);
}
