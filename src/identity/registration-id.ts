import { AgentError } from "../platform/failure.ts";

/** https://learn.microsoft.com/azure/iot-dps/concepts-service#registration-id */
const grammar = /^[A-Za-z0-9\-._:]{0,127}[A-Za-z0-9-]$/;

/**
 * The name under which DPS knows the device: from the config, else the host name in lower case.
 * @throws AgentError `identity/no-registration-id` (operator) when the host name cannot serve.
 */
export function chooseRegistrationId(configured: string | undefined, hostName: string): string {
  if (configured !== undefined) return configured;
  const candidate = hostName.toLowerCase();
  if (grammar.test(candidate) && candidate !== "localhost") return candidate;
  throw new AgentError(
    "identity/no-registration-id",
    "operator",
    `the host name "${hostName}" cannot serve as registration ID. Set registration_id in the config`,
  );
}
