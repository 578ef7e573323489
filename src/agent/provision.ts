import type { WrappedKey } from "../identity/identity.ts";
import { fingerprint, type Assignment } from "../provisioning/assignment.ts";
import { openOverMqtt } from "../provisioning/over-mqtt.ts";
import { register } from "../provisioning/register.ts";
import { withCandidate } from "../provisioning/stored-assignments.ts";
import { dpsKeyName, dpsResource, dpsUsername, type Assigned } from "../provisioning/wire.ts";
import type { Parts } from "./parts.ts";
import type { Online, Provisioning } from "./phase.ts";
import { prove } from "./prove.ts";

/** A registration is over within minutes; the rest is for a clock that runs behind. */
const tokenLifetimeMs = 60 * 60_000;

/**
 * Asks DPS for a hub, stores the answer beside the assignment that served so far, and goes there.
 * @throws AgentError as `register`, `openOverMqtt` and `overHttps`.
 */
export async function provision(phase: Provisioning, parts: Parts, signal: AbortSignal): Promise<Online> {
  const startedAt = parts.clock.monotonic();
  const { assigned, hubKey } = await ask(phase, parts, signal);
  const { idScope, provisioning } = parts.config;
  const { status: _status, authenticationKey: _wrapped, ...place } = assigned;
  const assignment: Assignment = {
    ...place,
    assignedAtMs: parts.signingTime.now(),
    because: phase.because,
    madeFrom: fingerprint(idScope, provisioning.endpoint, phase.identity),
    ...(hubKey !== undefined && { hubKey }),
  };
  const { hub, deviceId, substatus } = assignment;
  const tookMs = Math.round(parts.clock.monotonic() - startedAt);
  parts.log.notice("provisioning.assigned", { hub, deviceId, substatus, tookMs });
  // An assignment that cannot be written still serves until the process ends.
  await parts.assignments.write(withCandidate(parts.assignments.read() ?? {}, assignment));
  parts.journal.write({
    kind: "assigned",
    hub,
    deviceId,
    ...(substatus !== undefined && { substatus }),
  });
  const { identity, fallback } = phase;
  return { at: "online", identity, assignment, ...(fallback === undefined ? {} : { fallback }) };
}

async function ask(
  { identity }: Provisioning,
  parts: Parts,
  signal: AbortSignal,
): Promise<{ readonly assigned: Assigned; readonly hubKey?: WrappedKey }> {
  const { idScope, provisioning } = parts.config;
  const { registrationId } = identity;
  const { endpoint, port, transport: over, webSocketPort, apiVersion, payload } = provisioning;
  await using open = await parts.openIdentity(signal);
  const { credential } = open;
  const resource = dpsResource(idScope, registrationId);
  const expiresAtMs = parts.signingTime.now() + tokenLifetimeMs;
  const userAgent = `latebind/${parts.version}`;
  const trustedRoots = await parts.trustedRoots();
  const to = { endpoint, port, registrationId, payload, trustedRoots, ...(await parts.through()) };
  if (credential.attestation === "tpm") {
    const { registerByTpm } = await import("./register-by-tpm.ts");
    const overHttps = { ...to, idScope, apiVersion, userAgent };
    const registration = { identity, to: overHttps, resource, expiresAtMs };
    return await registerByTpm(credential.tpm, registration, parts, signal);
  }
  const proof = await prove(credential, { resource, expiresAtMs, keyName: dpsKeyName }, signal);
  if (over === "https") {
    // Loads Node's HTTP client, which a device on MQTT never needs.
    const { overHttps } = await import("../provisioning/over-https.ts");
    const transport = overHttps({ ...to, ...proof, idScope, apiVersion, userAgent });
    return { assigned: await register(transport, parts.clock, signal) };
  }
  const username = dpsUsername(idScope, registrationId, apiVersion, userAgent);
  const overMqtt = { ...to, ...proof, username, transport: over, webSocketPort };
  await using transport = await openOverMqtt(parts.openLink, overMqtt, signal);
  return { assigned: await register(transport, parts.clock, signal) };
}
