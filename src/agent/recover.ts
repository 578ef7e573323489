import { backoff, type Ladder, type Random } from "../platform/backoff.ts";
import type { AgentError } from "../platform/failure.ts";
import type { History } from "./history.ts";
import type { Phase } from "./phase.ts";

/** What comes next, and when. */
export interface Decision {
  readonly next: Phase;
  readonly delayMs: number;
}

export interface Moment {
  /** Monotonic clock, milliseconds. */
  readonly nowMs: number;
  /** A first refusal by the hub is repeated once after this time, stretched by up to the same again. */
  readonly refusalRetryMs: number;
  readonly random: Random;
}

const minute = 60_000;
const hubLadder: Ladder = { firstMs: 1_000, capMs: minute };
const dpsLadder: Ladder = { firstMs: 5_000, capMs: 10 * minute };
/** DPS answers, but the hub it names refuses us: asking sooner changes nothing. */
const sameAnswerLadder: Ladder = { firstMs: 5_000, capMs: 60 * minute };
/** A person has to act: slow probing, never a dead stop. */
const operatorLadder: Ladder = { firstMs: 30_000, capMs: 60 * minute };
const identityLadder: Ladder = { firstMs: 10_000, capMs: 10 * minute };

/**
 * The only place that decides what a failure leads to. Pure.
 *
 * - The hub refused once: the same hub again. Twice in a row: DPS, with the hub that last accepted us as the fallback.
 * - Anything else at the hub: the same hub again, on its own ladder. Network failures never lead to DPS.
 * - DPS failed and there is a fallback: the old hub serves, and DPS is owed a call after its ladder, whatever the hub says.
 * - DPS failed without a fallback: DPS again after its ladder.
 * @param history with `error` already counted.
 */
export function recover(phase: Phase, error: AgentError, history: History, moment: Moment): Decision {
  switch (phase.at) {
    case "identifying":
      return {
        next: phase,
        delayMs: atLeast(error, backoff(identityLadder, history.identityFailures, moment.random)),
      };
    case "provisioning":
      return afterDps(phase, error, history, moment);
    case "online":
      return afterHub(phase, error, history, moment);
  }
}

function afterDps(
  phase: Extract<Phase, { at: "provisioning" }>,
  error: AgentError,
  history: History,
  { nowMs, random }: Moment,
): Decision {
  const delayMs = atLeast(
    error,
    error.remedy === "operator"
      ? backoff(operatorLadder, history.dpsStreak?.times ?? 1, random)
      : backoff(dpsLadder, history.dpsAttempts, random),
  );
  if (phase.fallback === undefined) return { next: phase, delayMs };
  const { identity, fallback } = phase;
  return {
    next: { at: "online", identity, assignment: fallback, askDpsAtMs: nowMs + delayMs },
    delayMs: Math.min(delayMs, backoff(hubLadder, Math.max(1, history.hubFailures), random)),
  };
}

function afterHub(
  phase: Extract<Phase, { at: "online" }>,
  error: AgentError,
  history: History,
  moment: Moment,
): Decision {
  const isRefusal = error.remedy === "reprovision";
  if (isRefusal && history.hubRefusals >= 2) return toDps(phase, error, history, moment);
  const delayMs = atLeast(error, isRefusal ? afterFirstRefusal(moment) : sameHub(error, history, moment));
  const owedInMs = phase.askDpsAtMs === undefined ? Infinity : phase.askDpsAtMs - moment.nowMs;
  return owedInMs <= delayMs ? toDps(phase, error, history, moment) : { next: phase, delayMs };
}

function afterFirstRefusal({ refusalRetryMs, random }: Moment): number {
  return Math.round(refusalRetryMs * (1 + random()));
}

function sameHub(error: AgentError, history: History, { random }: Moment): number {
  return error.remedy === "operator"
    ? backoff(operatorLadder, history.hubStreak?.times ?? 1, random)
    : backoff(hubLadder, history.hubFailures, random);
}

/** The first call is immediate; after that DPS has a ladder of its own, or the time that its last failure set. */
function toDps(
  phase: Extract<Phase, { at: "online" }>,
  error: AgentError,
  history: History,
  { nowMs, random }: Moment,
): Decision {
  const { identity, assignment, askDpsAtMs } = phase;
  const because =
    askDpsAtMs === undefined
      ? `${assignment.hub} refused device "${assignment.deviceId}" twice in a row`
      : `DPS was still to be asked, and ${assignment.hub} does not serve meanwhile`;
  const ladderMs = history.dpsAttempts === 0 ? 0 : backoff(sameAnswerLadder, history.dpsAttempts, random);
  const delayMs = askDpsAtMs === undefined ? ladderMs : Math.max(0, askDpsAtMs - nowMs);
  return {
    next: { at: "provisioning", identity, because, fallback: phase.fallback ?? assignment },
    delayMs: atLeast(error, delayMs),
  };
}

/** The other side's own wish is a floor that no cap lowers. */
function atLeast(error: AgentError, delayMs: number): number {
  return Math.max(delayMs, error.retryAfterMs ?? 0);
}
