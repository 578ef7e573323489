import type { Identity } from "../identity/identity.ts";
import { isSameTpm } from "../identity/tpm/tpm-digest.ts";
import { AgentError } from "../platform/failure.ts";
import type { StoredAssignments } from "../provisioning/assignment.ts";

/** What DPS says to a TPM that nobody has enrolled, or that is enrolled under another ID. */
const refusals = new Set(["provisioning/enrollment-not-found", "provisioning/unauthorized"]);

/**
 * DPS says to an exchanged TPM what it says to any stranger; only this device knows that it was somebody before.
 * @returns `identity/tpm-exchanged` (operator) in place of such a refusal, any other error as it is.
 */
export function withExchangedTpm(
  error: unknown,
  { attestation, registrationId, credentialDigest }: Identity,
  { current, candidate }: StoredAssignments,
): unknown {
  const was = (current ?? candidate)?.madeFrom;
  if (!(error instanceof AgentError) || !refusals.has(error.code)) return error;
  if (attestation !== "tpm" || was?.attestation !== "tpm") return error;
  if (isSameTpm(was.credentialDigest, credentialDigest)) return error;
  return new AgentError(
    "identity/tpm-exchanged",
    "operator",
    `the TPM is not the one that this device was registered with as ${was.registrationId}, as after a new mainboard: to DPS this is ` +
      `another device, ${registrationId}, and it is not enrolled. Enroll its endorsement key (latebind identity prints it) and delete the old enrollment, or put the old TPM back. DPS said: ${error.message}`,
    { cause: error },
  );
}
