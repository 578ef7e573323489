import type { ConnectCodes } from "../platform/connect-failure.ts";

/** Over HTTPS; over MQTT the link has codes of its own. */
export const connectCodes: ConnectCodes = {
  "name-not-found": "provisioning/name-not-found",
  unreachable: "provisioning/unreachable",
  "closed-early": "provisioning/closed-early",
  "tls-failed": "provisioning/tls-failed",
  "tls-untrusted": "provisioning/tls-untrusted",
  "tls-wrong-name": "provisioning/tls-wrong-name",
  "tls-validity": "provisioning/tls-validity",
  "tls-intercepted": "provisioning/tls-intercepted",
  "tls-incompatible": "provisioning/tls-incompatible",
  "certificate-refused": "provisioning/certificate-refused",
};
