import { backoff, type Ladder, type Random } from "../platform/backoff.ts";
import type { AgentError } from "../platform/failure.ts";
import type { History } from "./history.ts";
import type { Phase } from "./phase.ts";

/** What comes next, and when. */
export interface Decision {
  readonly next: Phase;
  readonly delayMs: number;
}

export interface Pace {
  /** A first refusal by the hub is repeated once after this time, stretched by up to the same again. */
  readonly refusalRetryMs: number;
}

const minute = 60_000;
const hubLadder: Ladder = { firstMs: 1_000, capMs: minute };
const dpsLadder: Ladder = { firstMs: 5_000, capMs: 10 * minute };
/** A person has to act: slow probing, never a dead stop. */
const operatorLadder: Ladder = { firstMs: 30_000, capMs: 60 * minute };
const identityLadder: Ladder = { firstMs: 10_000, capMs: 10 * minute };

/**
 * The only place that decides what a failure leads to. Pure.
 *
 * - The hub refused once: the same hub again. Twice in a row: DPS, with this hub as the fallback.
 * - Anything else at the hub: the same hub again, on its own ladder. Network failures never lead to DPS.
 * - DPS failed and there is a fallback: the old hub has its turn, and DPS again after its ladder, whatever the old hub says.
 * - DPS failed without a fallback: DPS again after its ladder.
 * @param history with `error` already counted.
 */
export function recover(
  phase: Phase,
  error: AgentError,
  history: History,
  pace: Pace,
  random: Random,
): Decision {
  switch (phase.at) {
    case "identifying":
      return {
        next: phase,
        delayMs: atLeast(error, backoff(identityLadder, history.identityFailures, random)),
      };
    case "provisioning":
      return afterDps(phase, error, history, random);
    case "online":
      return afterHub(phase, error, history, pace, random);
  }
}

function afterDps(
  phase: Extract<Phase, { at: "provisioning" }>,
  error: AgentError,
  history: History,
  random: Random,
): Decision {
  const ladder = error.remedy === "operator" ? operatorLadder : dpsLadder;
  const delayMs = atLeast(error, backoff(ladder, history.dpsAttempts, random));
  if (phase.fallback === undefined) return { next: phase, delayMs };
  const { identity, fallback } = phase;
  return {
    next: { at: "online", identity, assignment: fallback, askDpsAfterMs: delayMs },
    delayMs: backoff(hubLadder, Math.max(1, history.hubFailures), random),
  };
}

function afterHub(
  phase: Extract<Phase, { at: "online" }>,
  error: AgentError,
  history: History,
  pace: Pace,
  random: Random,
): Decision {
  const owed = phase.askDpsAfterMs;
  if (error.remedy !== "reprovision" && owed === undefined) {
    const ladder = error.remedy === "operator" ? operatorLadder : hubLadder;
    return { next: phase, delayMs: atLeast(error, backoff(ladder, history.hubFailures, random)) };
  }
  if (error.remedy === "reprovision" && history.hubRefusals < 2) {
    return { next: phase, delayMs: atLeast(error, Math.round(pace.refusalRetryMs * (1 + random()))) };
  }
  const { identity, assignment } = phase;
  const because =
    owed === undefined
      ? `${assignment.hub} refused device "${assignment.deviceId}" twice in a row`
      : `DPS was still to be asked, and ${assignment.hub} does not serve meanwhile`;
  const next: Phase = { at: "provisioning", identity, because, fallback: phase.fallback ?? assignment };
  // The first call is immediate; after that DPS has a ladder of its own, or the wait that its last failure set.
  const ladderMs = history.dpsAttempts === 0 ? 0 : backoff(dpsLadder, history.dpsAttempts, random);
  return { next, delayMs: atLeast(error, owed ?? ladderMs) };
}

/** The other side's own wish is a floor that no cap lowers. */
function atLeast(error: AgentError, delayMs: number): number {
  return Math.max(delayMs, error.retryAfterMs ?? 0);
}
