import type { Credential, Identity } from "../identity/identity.ts";
import { hubResource } from "../hub/wire.ts";
import type { LinkProof } from "../mqtt/link.ts";
import { AgentError } from "../platform/failure.ts";
import { differences, fingerprint } from "../provisioning/assignment.ts";
import type { Standing } from "./follow-twin.ts";
import type { Parts } from "./parts.ts";
import type { Online } from "./phase.ts";
import { prove } from "./prove.ts";

/**
 * Looks whether the credential of a session that goes on would open another one.
 * @param known what it was when it last did.
 * @throws AgentError `identity/changed`. All other trouble is in the result: it ends no session.
 */
export async function lookAgain(
  phase: Online,
  parts: Parts,
  known: Identity,
  signal: AbortSignal,
): Promise<Standing> {
  try {
    await using open = await parts.openIdentity(signal);
    assertSameIdentity(phase, parts, open.identity);
    const { tookMs } = await proveToHub(open.credential, phase, parts, signal);
    return { identity: open.identity, provenInMs: tookMs };
  } catch (error) {
    if (!(error instanceof AgentError) || error.code === "identity/changed") throw error;
    parts.log.error("identity.failed", { error });
    return { identity: known, trouble: error };
  }
}

/** Makes what the assigned hub is shown, and measures how long the key takes for it. @throws AgentError as the key. */
export async function proveToHub(
  credential: Credential,
  { assignment: { hub, deviceId, hubKey } }: Online,
  { clock, signingTime, config }: Parts,
  signal: AbortSignal,
): Promise<{ readonly proof: LinkProof; readonly tookMs: number }> {
  const startedAt = clock.monotonic();
  const expiresAtMs = signingTime.now() + config.hub.tokenLifetimeMs;
  const wrapped = hubKey === undefined ? {} : { wrappedKey: hubKey };
  const resource = hubResource(hub, deviceId);
  const proof = await prove(credential, { resource, expiresAtMs, ...wrapped }, signal);
  return { proof, tookMs: Math.round(clock.monotonic() - startedAt) };
}

/** The key is opened for each session; if it was exchanged meanwhile, the assignment has to be looked at again. */
export function assertSameIdentity(phase: Online, { config }: Parts, identity: Identity): void {
  const facts = (of: Identity) => fingerprint(config.idScope, config.provisioning.endpoint, of);
  const changed = differences(facts(phase.identity), facts(identity));
  if (changed.length > 0) {
    throw new AgentError(
      "identity/changed",
      "reidentify",
      `the device's ${changed.join(", ")} changed while running`,
    );
  }
}
