import { countFailure } from "../../src/agent/count-failure.ts";
import {
  afterAccepted,
  afterAssigned,
  afterProof,
  blankHistory,
  withDps,
  withHub,
  type DpsHistory,
  type History,
  type HubHistory,
} from "../../src/agent/history.ts";
import { wantsProof } from "../../src/agent/judge.ts";
import type { Online, Phase, Provisioning } from "../../src/agent/phase.ts";
import { recover, type Decision } from "../../src/agent/recover.ts";
import type { Identity } from "../../src/identity/identity.ts";
import { AgentError, type Remedy } from "../../src/platform/failure.ts";
import { fingerprint, type Assignment } from "../../src/provisioning/assignment.ts";

export const minute = 60_000;
export const hour = 60 * minute;
const refusalRetryMs = 30_000;
export const identity: Identity = {
  registrationId: "gw-1",
  attestation: "symmetric-key",
  credentialDigest: "ab".repeat(32),
  custody: "file /etc/key",
  warnings: [],
};

export function on(hub: string): Assignment {
  return { hub, deviceId: "gw-1", assignedAtMs: 1, madeFrom: fingerprint("0ne1", "dps.net", identity) };
}

export function online(more: Partial<Online> = {}): Online {
  return { at: "online", identity, assignment: on("hub.net"), ...more };
}

export function provisioning(fallback?: Assignment): Provisioning {
  return {
    at: "provisioning",
    identity,
    because: "test",
    claim: "standing",
    ...(fallback === undefined ? {} : { fallback }),
  };
}

export function error(remedy: Remedy, retryAfterMs?: number, code = "room/fact"): AgentError {
  return new AgentError(code, remedy, "…", retryAfterMs === undefined ? {} : { retryAfterMs });
}

export function dpsWas(change: Partial<DpsHistory>): History {
  return withDps(blankHistory, change);
}

export function hubWas(change: Partial<HubHistory>, hub = "hub.net"): History {
  return withHub(blankHistory, hub, change);
}

/** What a step that failed leads to, the failure counted first as the journey does. */
export function fail(phase: Phase, failure: AgentError, before: History, draw = 0.5, nowMs = 0): Decision {
  const moment = { nowMs, refusalRetryMs, random: () => draw };
  const { history, error: found } = countFailure(before, phase, failure, moment);
  return recover(phase, found, history, moment);
}

/**
 * An agent's life without a network: what each step meets is up to the test, and time passes as the decisions say.
 * Steps themselves take no time.
 */
export class Life {
  phase: Phase;
  history: History = blankHistory;
  nowMs = 0;
  readonly random: () => number;

  constructor(phase: Phase, random: () => number) {
    this.phase = phase;
    this.random = random;
  }

  /** @param look whether DPS can be reached, where that is worth a look. */
  fails(failure: AgentError, look: () => boolean = () => false): Decision {
    const { nowMs } = this;
    const moment = { nowMs, refusalRetryMs, random: this.random };
    const { history: counted, error: found } = countFailure(this.history, this.phase, failure, moment);
    const isWorthALook = wantsProof(this.phase, found, counted, nowMs);
    const history = isWorthALook ? afterProof(counted, look(), nowMs) : counted;
    const decision = recover(this.phase, found, history, moment);
    this.history = decision.history;
    this.phase = decision.next;
    this.nowMs += decision.delayMs;
    return decision;
  }

  assigned(hub: string): void {
    if (this.phase.at !== "provisioning") throw new Error("nobody asked DPS");
    const { fallback } = this.phase;
    this.history = afterAssigned(this.history, hub, this.nowMs, this.nowMs + 5 * minute);
    this.phase = online({ assignment: on(hub), ...(fallback === undefined ? {} : { fallback }) });
  }

  accepted(): void {
    if (this.phase.at !== "online") throw new Error("nobody connected");
    const { owedDps, ...rest } = this.phase;
    const isFallback = owedDps !== undefined && owedDps.claim !== "until-accepted";
    this.history = afterAccepted(this.history, this.phase.assignment.hub, isFallback);
    this.phase = isFallback ? this.phase : rest;
  }
}
