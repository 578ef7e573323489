import type { ConnectCodes } from "../platform/connect-failure.ts";

export const connectCodes: ConnectCodes = {
  "name-not-found": "mqtt/name-not-found",
  unreachable: "mqtt/unreachable",
  "closed-early": "mqtt/closed-early",
  "tls-failed": "mqtt/tls-failed",
  "tls-untrusted": "mqtt/tls-untrusted",
  "tls-wrong-name": "mqtt/tls-wrong-name",
  "tls-validity": "mqtt/tls-validity",
  "tls-intercepted": "mqtt/tls-intercepted",
  "tls-incompatible": "mqtt/tls-incompatible",
  "certificate-refused": "mqtt/certificate-refused",
};
