import { backoff, type Random } from "../platform/backoff.ts";
import type { AgentError } from "../platform/failure.ts";
import { leastGapMs, startMayAskAtMs } from "./budget.ts";
import { hubHistory, withDps, withHub, type History } from "./history.ts";
import { dpsDelayMs, hubDelayMs, ladders, spreadMs } from "./ladders.ts";
import type { Claim, Online, Phase, Provisioning } from "./phase.ts";
import { judge } from "./judge.ts";

/** What comes next, and when; with what has to be remembered of it. */
export interface Decision {
  readonly next: Phase;
  readonly delayMs: number;
  readonly history: History;
}

export interface Moment {
  /** Agent time. */
  readonly nowMs: number;
  /** A first refusal by the hub is repeated once after this time, stretched by up to the same again. */
  readonly refusalRetryMs: number;
  readonly random: Random;
}

/**
 * The only place that decides what a failure leads to. Pure.
 *
 * - The hub refused once: the same hub again. Twice within a quarter of an hour: DPS, with the hub that last accepted us as the
 *   fallback; DPS has a ladder of its own, and the hub is tried in turn on another.
 * - The hub fails otherwise: the same hub again. Network failures never lead to DPS; only a hub that stays away while the network
 *   is proven good does.
 * - DPS failed and there is a fallback: the old hub has its turn, and DPS is owed a call, whatever the hub says.
 * - DPS failed without a fallback: DPS again after its ladder.
 * @param history with `error` already counted.
 */
export function recover(phase: Phase, error: AgentError, history: History, moment: Moment): Decision {
  switch (phase.at) {
    case "identifying":
      return {
        next: phase,
        delayMs: spreadMs(error, backoff(ladders.local, history.identityFailures, moment.random), moment),
        history,
      };
    case "provisioning":
      return afterDps(phase, error, history, moment);
    case "online":
      return afterHub(phase, error, history, moment);
  }
}

/** What a start makes of what it remembers: a ladder that was climbed before is not forgotten by a restart. Pure. */
export function resume(
  phase: Phase,
  history: History,
  moment: Moment,
  isChanged: boolean,
): Omit<Decision, "history"> {
  if (phase.at !== "provisioning" || phase.claim === "once") return { next: phase, delayMs: 0 };
  const { nowMs } = moment;
  const { notBeforeMs = nowMs, floorMs = nowMs, spent } = history.dps;
  const mayHurry = isChanged || leastGapMs(spent, nowMs) === 0;
  const dueMs = Math.max(
    floorMs,
    mayHurry ? Math.min(notBeforeMs, startMayAskAtMs(spent, nowMs)) : dpsDueMs(history, moment),
  );
  const { next, delayMs } = turn(phase, { dueMs, history, moment });
  return { next, delayMs };
}

/** A shorter wait is not worth a write to flash; after a restart it is drawn anew. */
const memorableMs = 5 * 60_000;

function afterDps(phase: Provisioning, error: AgentError, history: History, moment: Moment): Decision {
  const { nowMs } = moment;
  const delayMs = dpsDelayMs(error, history, moment, phase.fallback !== undefined);
  const floor = error.retryAfterMs === undefined ? {} : { floorMs: nowMs + error.retryAfterMs };
  const { floorMs: _floor, notBeforeMs: _due, ...dps } = history.dps;
  const long = delayMs < memorableMs ? {} : { notBeforeMs: nowMs + delayMs };
  const remembered = withDps({ ...history, dps }, { ...long, ...floor });
  const dueMs = Math.max(nowMs + delayMs, dpsDueMs(remembered, moment));
  return turn({ ...phase, claim: claimAfter(phase.claim, error) }, { dueMs, history: remembered, moment });
}

/** A person's wish is done with DPS's own word; a call that did not come to that is repeated. */
function claimAfter(claim: Claim, error: AgentError): Claim {
  return claim === "once" && error.remedy !== "retry" ? "until-accepted" : claim;
}

function afterHub(phase: Online, error: AgentError, history: History, moment: Moment): Decision {
  const { hub } = phase.assignment;
  const judged = judge(phase, error, history, moment);
  switch (judged.verdict) {
    case "patience":
      return sameHub(phase, error, judged.history, moment);
    case "refused": {
      const { verdicts } = hubHistory(judged.history, hub);
      const notBeforeMs =
        moment.nowMs + spreadMs(error, backoff(ladders.refused, verdicts, moment.random), moment);
      const because = error.code.startsWith("identity/")
        ? `the key for ${hub} is of no use: ${error.code}`
        : `${hub} refused device "${phase.assignment.deviceId}" twice in a row`;
      return toDps(phase, because, withHub(judged.history, hub, { notBeforeMs }), moment);
    }
    case "away":
      return toDps(
        phase,
        `${hub} stays away though the network is good: ${error.code}`,
        judged.history,
        moment,
      );
  }
}

function sameHub(phase: Online, error: AgentError, history: History, moment: Moment): Decision {
  const { nowMs } = moment;
  const { hub } = phase.assignment;
  const delayMs = hubDelayMs(error, hubHistory(history, hub), moment);
  const { owedDps } = phase;
  if (owedDps === undefined || owedDps.atMs > nowMs + delayMs) return { next: phase, delayMs, history };
  const { identity, assignment, fallback = assignment } = phase;
  const because = `${owedDps.because}; ${hub} does not serve meanwhile`;
  return {
    next: { at: "provisioning", identity, because, claim: owedDps.claim, fallback },
    delayMs: Math.max(0, owedDps.atMs - nowMs),
    history,
  };
}

/** The first call is immediate; after that DPS has a ladder of its own, and the hubs have their turns meanwhile. */
function toDps(phase: Online, because: string, history: History, moment: Moment): Decision {
  const { identity, assignment, fallback, owedDps } = phase;
  // Another hub that serves is not where DPS said that we belong: then DPS is owed all the same.
  const claim = owedDps?.claim ?? (fallback === undefined ? "until-accepted" : "standing");
  const dueMs = Math.max(dpsDueMs(history, moment), owedDps?.atMs ?? 0);
  const to: Provisioning = {
    at: "provisioning",
    identity,
    because: owedDps?.because ?? because,
    claim,
    fallback: fallback ?? assignment,
  };
  return turn(to, { dueMs, history, moment });
}

interface Schedule {
  /** When DPS may be asked. */
  readonly dueMs: number;
  readonly history: History;
  readonly moment: Moment;
}

/** DPS or the fallback, whichever may be tried first. */
function turn(phase: Provisioning, { dueMs, history, moment }: Schedule): Decision {
  const { nowMs, random } = moment;
  const { identity, fallback, because, claim } = phase;
  const delayMs = Math.max(0, dueMs - nowMs);
  if (fallback === undefined || delayMs === 0) return { next: phase, delayMs, history };
  const { notBeforeMs = 0, failures } = hubHistory(history, fallback.hub);
  const hubInMs = Math.max(notBeforeMs - nowMs, backoff(ladders.hub, Math.max(1, failures), random));
  if (hubInMs >= delayMs) return { next: phase, delayMs, history };
  const owedDps = { atMs: dueMs, because, claim };
  return {
    next: { at: "online", identity, assignment: fallback, owedDps },
    delayMs: hubInMs,
    history,
  };
}

/** By its ladder, and by what is left of the day's budget. */
function dpsDueMs({ dps }: History, { nowMs, random }: Moment): number {
  const last = dps.spent.at(-1);
  const gapMs = leastGapMs(dps.spent, nowMs) * (1 + random() * 0.2);
  return Math.round(Math.max(nowMs, dps.notBeforeMs ?? 0, last === undefined ? 0 : last.atMs + gapMs));
}
