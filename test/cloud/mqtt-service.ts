import type { X509Certificate } from "node:crypto";

/** What a service is told about a CONNECT. */
export interface ConnectRequest {
  readonly clientId: string;
  readonly username: string;
  readonly password: string | undefined;
  readonly willTopic: string | undefined;
  readonly cleanSession: boolean;
  /** What the client showed in the TLS handshake, the leaf first and unverified; empty when nothing. */
  readonly certificates: readonly X509Certificate[];
}

export type ConnectVerdict =
  | { readonly returnCode: 0; readonly open: (line: ClientLine) => Conversation }
  | { readonly returnCode: 2 | 3 | 4 | 5; readonly because: string };

/** The way back to one connected client. */
export interface ClientLine {
  readonly clientId: string;
  /**
   * Sends at the QoS granted to `filter`; sends nothing and returns false when the client has not subscribed to it.
   * @param taken called on the PUBACK, or once it has been written where QoS 0 was granted.
   */
  send(filter: string, topic: string, payload: string | Buffer, taken?: () => void): boolean;
  /** Closes the connection without a word, as both services do. */
  drop(because: string): void;
}

export interface Publication {
  readonly topic: string;
  readonly payload: Buffer;
  readonly retain: boolean;
  readonly isWill: boolean;
}

/** One accepted connection, seen from the service. */
export interface Conversation {
  /** The only filters that may be subscribed to; any other closes the connection. */
  readonly filters: readonly string[];
  /** Any other topic, and any QoS 2 publish, closes the connection. */
  acceptsTopic(topic: string): boolean;
  /** A say about each publish before its PUBACK: nothing lets it pass, a promise holds it back, words close the connection. */
  admit?(topic: string, payloadBytes: number): Promise<void> | { readonly because: string } | undefined;
  /** Called after the SUBACK, and after CONNACK for what a kept session brings along. */
  subscribed?(filter: string): void;
  unsubscribed?(filter: string): void;
  /** Called after the PUBACK has been written. */
  received(publication: Publication): void;
  closed(): void;
}

/** A service behind an MQTT front. */
export interface MqttService {
  /** `none`: every session is clean and CONNACK never says session present. */
  readonly sessions: "kept" | "none";
  decide(request: ConnectRequest): ConnectVerdict;
}
