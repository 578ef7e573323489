import { connectFailure, peerWords, type FailedPeer } from "../platform/connect-failure.ts";
import { AgentError, systemCode } from "../platform/failure.ts";

/**
 * Gives its code to what happens between the handshake and CONNACK. On TLS 1.3 the server's alert comes only now, so a TLS error is
 * still a failed handshake; what has no code comes from the parser of MQTT.
 */
export function unansweredFailure(error: Error | undefined, peer: FailedPeer): AgentError {
  const code = systemCode(error);
  const where = peerWords(peer);
  const options = error === undefined ? {} : { cause: error };
  if (error === undefined || code === "ECONNRESET" || code === "EPIPE") {
    const message = `${where} closed the connection before it answered CONNECT`;
    return new AgentError("mqtt/closed-early", "retry", message, options);
  }
  // ws names what is no WebSocket frame.
  if (code === "" || code.startsWith("WS_ERR_")) {
    const message = `${where} does not speak MQTT. Check the endpoint and the port`;
    return new AgentError("mqtt/not-mqtt", "retry", message, options);
  }
  return connectFailure(error, peer);
}
