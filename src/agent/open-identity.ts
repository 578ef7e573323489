import type { Config } from "../config/config.ts";
import { isRegistrationId } from "../config/registration-id.ts";
import type { OpenIdentity } from "../identity/identity.ts";
import { openKeyFile } from "../identity/key-file.ts";
import { AgentError } from "../platform/failure.ts";

/**
 * Opens the identity that the config points to. What was opened is closed when the step ends.
 * @throws AgentError as `openKeyFile`; `identity/no-registration-id` (operator).
 */
export async function openIdentity(config: Config, hostName: string): Promise<OpenIdentity> {
  const { key, credentialDigest, custody } = await openKeyFile(config.key.locations);
  const registrationId = config.registrationId ?? fromHostName(hostName);
  return {
    identity: { registrationId, attestation: "symmetric-key", credentialDigest, custody },
    key,
    async [Symbol.asyncDispose]() {
      // A key file holds nothing open.
    },
  };
}

/** Lower case, because DPS compares without case but group keys are derived from the spelling. */
function fromHostName(hostName: string): string {
  const candidate = hostName.toLowerCase();
  if (isRegistrationId(candidate) && candidate !== "localhost") return candidate;
  throw new AgentError(
    "identity/no-registration-id",
    "operator",
    `the host name "${hostName}" cannot serve as registration ID. Set registration_id in the config`,
  );
}
