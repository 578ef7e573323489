import type { Identity } from "../identity/identity.ts";
import { differences, fingerprint, type Assignment } from "../provisioning/assignment.ts";
import type { Parts } from "./parts.ts";
import type { Online, Phase, Provisioning } from "./phase.ts";

/**
 * Opens the identity and looks where it belongs by what is stored.
 *
 * An assignment that was made from other facts (scope, credential, …) is not trusted to be ours any more, but stays as the
 * fallback until a new hub has accepted us.
 * @throws AgentError as the identity room.
 */
export async function identify(
  { askDpsBecause }: Extract<Phase, { at: "identifying" }>,
  parts: Parts,
  signal: AbortSignal,
): Promise<Online | Provisioning> {
  await using open = await parts.openIdentity(signal);
  const { identity } = open;
  const { current, candidate } = parts.assignments.read() ?? {};
  const facts = fingerprint(parts.config.idScope, parts.config.provisioning.endpoint, identity);
  const { registrationId, attestation, custody, warnings, certificateExpiresAtMs: endsAtMs } = identity;
  const certificateExpires = endsAtMs === undefined ? {} : { certificateExpires: new Date(endsAtMs) };
  parts.log.notice("identity.opened", { registrationId, attestation, custody, ...certificateExpires });
  for (const warning of warnings) parts.log.warning("identity.doubtful", { says: warning });

  const stored = candidate ?? current;
  if (stored === undefined)
    return {
      at: "provisioning",
      identity,
      because: "this device has no assignment yet",
      claim: "standing",
    };
  const changed = differences(stored.madeFrom, facts);
  if (changed.length > 0 || askDpsBecause !== undefined) {
    const because = askDpsBecause ?? `changed since the last registration: ${changed.join(", ")}`;
    const fallback = mayServe(current ?? stored, identity);
    const claim = changed.length > 0 ? "standing" : "once";
    return { at: "provisioning", identity, because, claim, ...fallback };
  }
  const fallback = candidate === undefined || current === undefined ? {} : { fallback: current };
  return { at: "online", identity, assignment: stored, ...fallback };
}

/** A TPM that was cleared or exchanged has lost the key of its old hub for ever. */
function mayServe(
  fallback: Assignment,
  { attestation, credentialDigest }: Identity,
): { readonly fallback?: Assignment } {
  const { madeFrom } = fallback;
  const isLost = attestation === "tpm" && madeFrom.credentialDigest !== credentialDigest;
  return isLost ? {} : { fallback };
}
