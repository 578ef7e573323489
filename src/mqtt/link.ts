import type { ClientCertificate } from "../identity/identity.ts";
import type { Secret } from "../platform/secret.ts";
import type { WayOut } from "../platform/way-out.ts";

/** `mqtt` is MQTT over TLS, `websocket` is MQTT over WebSocket over TLS. */
export type Transport = "auto" | "mqtt" | "websocket";

export interface LinkOptions extends WayOut {
  /** Host name or address, without scheme; also the name that the server's certificate must bear. */
  readonly host: string;
  /** For MQTT over TLS. */
  readonly port: number;
  /** Over what to speak MQTT. `auto` leaves that to whoever opens the link, and is `mqtt` where nobody knows better. */
  readonly transport?: Transport;
  /** Where MQTT over WebSocket is listened for (RFC 6455): only a server that has this can be asked for it. */
  readonly webSocket?: { readonly port: number; readonly path: string };
  /** PEM roots to trust, and no others. */
  readonly trustedRoots: string;
  readonly clientId: string;
  readonly username: string;
  readonly password?: Secret<string>;
  /** Shown in the handshake if the server asks for it. */
  readonly clientCertificate?: ClientCertificate;
  /** MQTT clean session: false keeps subscriptions and queued messages at the server. */
  readonly cleanSession: boolean;
  readonly keepAliveMs: number;
  /** For TCP, TLS and CONNACK together. */
  readonly connectTimeoutMs: number;
  /** Called for each PUBLISH, in the order of arrival. Must not throw. */
  readonly onMessage: (topic: string, payload: Uint8Array) => void;
}

/** What shows a server who we are: one of the two. */
export type LinkProof = Pick<LinkOptions, "password" | "clientCertificate">;

/** One MQTT 3.1.1 connection, from CONNACK to its end. Never reconnects: that is for the journey to decide. */
export interface Link extends AsyncDisposable {
  /** Aborted with an AgentError (`mqtt/…`) when the connection ends without our wish. */
  readonly lost: AbortSignal;
  /** Asks at once whether the line is still there; `lost` tells within some 5 s where it is not. */
  probe(): void;
  /**
   * Resolves once every filter was granted.
   * @throws AgentError `mqtt/subscription-refused` (operator), `mqtt/no-answer` (retry), or the reason of `lost`.
   */
  subscribe(filters: readonly string[], signal: AbortSignal): Promise<void>;
  /**
   * Publishes at QoS 1 and resolves at PUBACK.
   * @throws AgentError `mqtt/no-answer` (retry), or the reason of `lost`.
   */
  publish(topic: string, payload: string, signal: AbortSignal): Promise<void>;
}

/** What the server said to CONNECT. A refusal is an answer with meaning, so it is data; a dead line is thrown. */
export type ConnectResult =
  | { readonly status: "open"; readonly link: Link }
  | { readonly status: "refused"; readonly returnCode: number };

/**
 * @throws AgentError `mqtt/name-not-found`, `mqtt/unreachable`, `mqtt/connect-timeout`, `mqtt/tls-failed`,
 *   `mqtt/tls-intercepted`, `mqtt/closed-early`, `mqtt/not-mqtt`, `mqtt/websocket-refused` (all retry), `mqtt/tls-untrusted`, `mqtt/tls-wrong-name`,
 *   `mqtt/tls-validity`, `mqtt/tls-incompatible`, `mqtt/certificate-refused` (operator); what the client's key failed with;
 *   with a proxy, what `openTunnel` throws.
 */
export type OpenLink = (options: LinkOptions, signal: AbortSignal) => Promise<ConnectResult>;
