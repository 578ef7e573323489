import { AgentError, type Remedy } from "../platform/failure.ts";
import { countFailure } from "./count-failure.ts";
import { afterProof, type History } from "./history.ts";
import { wantsProof } from "./judge.ts";
import type { Online, Phase, Provisioning } from "./phase.ts";
import { recover, type Decision } from "./recover.ts";

interface Supposition {
  readonly at: "provisioning" | "online";
  readonly code: string;
  readonly remedy: Remedy;
  readonly says: string;
  /** What a look at DPS would show meanwhile. */
  readonly isNetworkGood?: boolean;
  readonly retryAfterMs?: number;
}

/** What can be supposed, by the name that a person types. */
export const suppositions: Readonly<Record<string, Supposition>> = {
  "hub-refused": {
    at: "online",
    code: "hub/refused",
    remedy: "reprovision",
    says: "the hub refuses the device (CONNACK 5)",
  },
  "certificate-refused": {
    at: "online",
    code: "mqtt/certificate-refused",
    remedy: "operator",
    says: "the hub refuses the device's certificate in TLS",
  },
  "hub-away": {
    at: "online",
    code: "mqtt/unreachable",
    remedy: "retry",
    says: "the hub cannot be reached, and DPS can",
    isNetworkGood: true,
  },
  "hub-busy": { at: "online", code: "hub/busy", remedy: "retry", says: "the hub is busy (CONNACK 3)" },
  "network-lost": {
    at: "online",
    code: "mqtt/unreachable",
    remedy: "retry",
    says: "neither the hub nor DPS can be reached",
  },
  "tls-untrusted": {
    at: "online",
    code: "mqtt/tls-untrusted",
    remedy: "operator",
    says: "the hub's certificate comes from an authority that is not trusted here",
  },
  "dps-disabled": {
    at: "provisioning",
    code: "provisioning/disabled",
    remedy: "operator",
    says: "the enrollment is disabled in DPS",
  },
  "dps-refused": {
    at: "provisioning",
    code: "provisioning/unauthorized",
    remedy: "operator",
    says: "DPS does not accept the device's key",
  },
  "dps-unavailable": {
    at: "provisioning",
    code: "provisioning/unavailable",
    remedy: "retry",
    says: "DPS has a fault of its own (5xx)",
  },
  "dps-throttled": {
    at: "provisioning",
    code: "provisioning/throttled",
    remedy: "retry",
    says: "DPS is busy and names 10 minutes (429)",
    retryAfterMs: 600_000,
  },
  "dps-unreachable": {
    at: "provisioning",
    code: "mqtt/unreachable",
    remedy: "retry",
    says: "DPS cannot be reached",
  },
};

export interface Standpoint {
  readonly phase: Online | Provisioning;
  readonly history: History;
  /** Agent time. */
  readonly nowMs: number;
  readonly refusalRetryMs: number;
}

/** What the agent would do next, and after how long at the least and at the most. */
export interface Foreseen {
  readonly next: Phase;
  readonly leastMs: number;
  readonly mostMs: number;
  /** Where things stand after a wait of middling length. */
  readonly afterwards: Standpoint;
}

/** What the agent would do if this happened now. Pure: the same functions decide as in earnest. */
export function foresee(standpoint: Standpoint, supposed: Supposition): Foreseen {
  const decide = (draw: number) => suppose(standpoint, supposed, draw);
  const middling = decide(0.5);
  const delays = [decide(0).delayMs, middling.delayMs, decide(0.999_999).delayMs];
  const { next, history, delayMs } = middling;
  return {
    next,
    leastMs: Math.min(...delays),
    mostMs: Math.max(...delays),
    afterwards: {
      ...standpoint,
      history,
      nowMs: standpoint.nowMs + delayMs,
      phase: next.at === "identifying" ? standpoint.phase : next,
    },
  };
}

function suppose(
  { phase, history, nowMs, refusalRetryMs }: Standpoint,
  { code, remedy, says, retryAfterMs, isNetworkGood = false }: Supposition,
  draw: number,
): Decision {
  const after = retryAfterMs === undefined ? {} : { retryAfterMs };
  const moment = { nowMs, refusalRetryMs, random: () => draw };
  const { history: counted, error } = countFailure(
    history,
    phase,
    new AgentError(code, remedy, says, after),
    moment,
  );
  const known = wantsProof(phase, error, counted, nowMs)
    ? afterProof(counted, isNetworkGood, nowMs)
    : counted;
  return recover(phase, error, known, moment);
}
