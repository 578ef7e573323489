import { afterFailure, type History } from "../../src/agent/history.ts";
import type { Phase } from "../../src/agent/phase.ts";
import { recover, type Decision } from "../../src/agent/recover.ts";
import type { Identity } from "../../src/identity/identity.ts";
import { AgentError, type Remedy } from "../../src/platform/failure.ts";
import { fingerprint, type Assignment } from "../../src/provisioning/assignment.ts";

export const minute = 60_000;
const refusalRetryMs = 30_000;
const identity: Identity = {
  registrationId: "gw-1",
  attestation: "symmetric-key",
  credentialDigest: "ab".repeat(32),
  custody: "file /etc/key",
  warnings: [],
};

export function on(hub: string): Assignment {
  return { hub, deviceId: "gw-1", assignedAtMs: 1, madeFrom: fingerprint("0ne1", "dps.net", identity) };
}

export function online(
  more: Partial<Extract<Phase, { at: "online" }>> = {},
): Extract<Phase, { at: "online" }> {
  return { at: "online", identity, assignment: on("hub.net"), ...more };
}

export function provisioning(fallback?: Assignment): Extract<Phase, { at: "provisioning" }> {
  return { at: "provisioning", identity, because: "test", ...(fallback === undefined ? {} : { fallback }) };
}

export function error(remedy: Remedy, retryAfterMs?: number): AgentError {
  return new AgentError("room/fact", remedy, "…", retryAfterMs === undefined ? {} : { retryAfterMs });
}

/** What a step that failed leads to, the failure counted first as the journey does. */
export function fail(
  phase: Phase,
  failure: AgentError,
  history: History,
  draw = 0.5,
  nowMs = 0,
): Decision & { readonly history: History } {
  const counted = afterFailure(history, phase.at, failure);
  return {
    ...recover(phase, failure, counted, { nowMs, refusalRetryMs, random: () => draw }),
    history: counted,
  };
}
