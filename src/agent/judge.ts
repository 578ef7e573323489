import type { AgentError } from "../platform/failure.ts";
import { leastGapMs } from "./budget.ts";
import { hubHistory, withHub, type History } from "./history.ts";
import { isRefusal } from "./ladders.ts";
import type { Online, Phase } from "./phase.ts";
import type { Moment } from "./recover.ts";

const minute = 60_000;

/** A hub that stays away for so many attempts and so long is asked about at DPS; each device stretches both by 0.5 to 1.5. */
const mostBlame = 20;
const longestBlameMs = 15 * minute;

/** With this many failures in a row it is worth a handshake to learn whether the network is to blame. */
const proofFromFailures = 5;

/** How long a look at DPS says something about the network. */
const proofHoldsMs = 5 * minute;

/** A server that does not like a certificate may just close: so many times in a row, with a good network, is an answer. */
const closedVerdict = 5;

interface Judgement {
  /** `refused` and `away` lead to DPS; `patience` to the same hub. */
  readonly verdict: "patience" | "refused" | "away";
  readonly history: History;
}

/** Whether a failure at the hub, already counted, is reason enough to ask DPS. Pure. */
export function judge(phase: Online, error: AgentError, history: History, moment: Moment): Judgement {
  const { hub } = phase.assignment;
  const record = hubHistory(history, hub);
  if (isRefusal(error)) {
    // After a verdict the hub has its turns one at a time; a new assignment by DPS earns it a second chance each.
    const isOnTrial = record.notBeforeMs === undefined;
    if (isOnTrial && record.strikes.length < 2) return { verdict: "patience", history };
    return { verdict: "refused", history: withHub(history, hub, { verdicts: record.verdicts + 1 }) };
  }
  return blame(phase, error, history, moment);
}

function blame(phase: Online, error: AgentError, history: History, moment: Moment): Judgement {
  const { nowMs, random } = moment;
  const { hub } = phase.assignment;
  const { blame: old, streak } = hubHistory(history, hub);
  if (error.remedy !== "retry" || !isNetworkGood(error, history, nowMs)) {
    return { verdict: "patience", history: withoutBlame(history, hub) };
  }
  const { count, sinceMs, stretch } = old ?? { count: 0, sinceMs: nowMs, stretch: 0.5 + random() };
  const blamed = withHub(history, hub, { blame: { count: count + 1, sinceMs, stretch } });
  const isClosedOnUs =
    phase.identity.attestation === "x509" &&
    error.code === "mqtt/closed-early" &&
    (streak?.times ?? 0) >= closedVerdict;
  const isAway = count + 1 >= mostBlame * stretch && nowMs - sinceMs >= longestBlameMs * stretch;
  if (!isAway && !isClosedOnUs) return { verdict: "patience", history: blamed };
  if (!mayAskDps(blamed, nowMs)) return { verdict: "patience", history: blamed };
  return { verdict: "away", history: withoutBlame(blamed, hub) };
}

/** A hub that answers, be it that it is busy, proves the network itself. */
function isNetworkGood({ code }: AgentError, { dps: { proof } }: History, nowMs: number): boolean {
  if (/^hub\/(?!no-answer$|clock-doubtful$|duplicate-)/.test(code)) return true;
  return proof !== undefined && proof.isGood && nowMs - proof.atMs < proofHoldsMs;
}

function mayAskDps({ dps }: History, nowMs: number): boolean {
  return nowMs >= (dps.notBeforeMs ?? 0) && leastGapMs(dps.spent, nowMs) === 0;
}

function withoutBlame(history: History, hub: string): History {
  const { [hub]: record, ...hubs } = history.hubs;
  if (record?.blame === undefined) return history;
  const { blame: _dropped, ...rest } = record;
  return { ...history, hubs: { ...hubs, [hub]: rest } };
}

/** Whether a look at DPS would tell something that matters: it costs a handshake, so not while DPS would not be asked anyway. */
export function wantsProof(phase: Phase, error: AgentError, history: History, nowMs: number): boolean {
  if (phase.at !== "online" || error.remedy !== "retry" || !error.code.startsWith("mqtt/")) return false;
  const { proof } = history.dps;
  const isFresh = proof !== undefined && nowMs - proof.atMs < proofHoldsMs && nowMs >= proof.atMs;
  if (isFresh || !mayAskDps(history, nowMs)) return false;
  return hubHistory(history, phase.assignment.hub).failures >= proofFromFailures;
}
