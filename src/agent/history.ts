import type { AgentError } from "../platform/failure.ts";
import { costOf, costOfSuccess, handshakeBytes, spend, type Expense } from "./budget.ts";

/**
 * What happened so far, as far as it decides what comes next. Plain data that outlives the process.
 *
 * All times are agent time: milliseconds since 1970 by a clock that never runs backwards, see `agentTime`.
 */
export interface History {
  /** Failed identity steps in a row. */
  readonly identityFailures: number;
  readonly dps: DpsHistory;
  /** By host name; no more than the last few. */
  readonly hubs: Readonly<Record<string, HubHistory>>;
  /** Digest of the identity and scope that all this happened to: others start afresh, but for what they spent. */
  readonly about?: string;
}

export interface DpsHistory {
  /** Calls in a row that failed. */
  readonly failures: number;
  /** Assignments since the assigned hub last accepted us: only the hub's word ends that. */
  readonly answers: number;
  /** The last failure, with how often it came in a row. */
  readonly streak?: Streak;
  /** Its own ladder: not asked before. */
  readonly notBeforeMs?: number;
  /** Its own wish (`Retry-After`), which no input shortens but an operator's. */
  readonly floorMs?: number;
  readonly spent: readonly Expense[];
  /** The last look whether it can be reached at all, which tells a hub that is away from a network that is. */
  readonly proof?: { readonly atMs: number; readonly isGood: boolean };
}

export interface HubHistory {
  /** Failed connections in a row, of any kind, since a session last held for a while. */
  readonly failures: number;
  readonly streak?: Streak;
  /** When it refused us, as far as that counts: the second strike within the window leads to DPS. */
  readonly strikes: readonly number[];
  /** How often that was the verdict since it last accepted us: then it is tried ever more slowly. */
  readonly verdicts: number;
  readonly notBeforeMs?: number;
  /** Failures that were its own, because the network was proven good meanwhile. `stretch` spreads a fleet. */
  readonly blame?: { readonly count: number; readonly sinceMs: number; readonly stretch: number };
  /** Ends of sessions that were cut short. */
  readonly shortSessions: readonly number[];
  /** How often they were put down to another device with our identity, since a session last held. */
  readonly suspicions: number;
}

interface Streak {
  readonly code: string;
  readonly times: number;
}

export const blankHistory: History = {
  identityFailures: 0,
  dps: { failures: 0, answers: 0, spent: [] },
  hubs: {},
};

const blankHub: HubHistory = { failures: 0, strikes: [], verdicts: 0, shortSessions: [], suspicions: 0 };

const minute = 60_000;

/** A session must hold this long before the hub's back-off starts anew: a flapping line must not reset it. */
const provenAfterMs = minute;

/** Refusals that are further apart have nothing to do with each other. */
const strikeWindowMs = 15 * minute;

/** Within which short sessions count as a pattern. */
const shortSessionWindowMs = 10 * minute;

const mostHubs = 4;

export function hubHistory({ hubs }: History, hub: string): HubHistory {
  return hubs[hub] ?? blankHub;
}

export function withHub(history: History, hub: string, change: Partial<HubHistory>): History {
  const { [hub]: old = blankHub, ...others } = history.hubs;
  const kept = Object.entries(others).slice(-(mostHubs - 1));
  return { ...history, hubs: { ...Object.fromEntries(kept), [hub]: { ...old, ...change } } };
}

export function withDps(history: History, change: Partial<DpsHistory>): History {
  return { ...history, dps: { ...history.dps, ...change } };
}

/** @param about as in `History`: another one makes every ladder start anew, but the day's budget stays spent. */
export function afterIdentified(history: History, about: string): History {
  const now = { ...history, identityFailures: 0, about };
  if (history.about === undefined || history.about === about) return now;
  const { spent } = history.dps;
  return { ...now, dps: { ...blankHistory.dps, spent }, hubs: {} };
}

/**
 * DPS named a hub: it has its chances anew, but how slowly it is tried after the next verdict is not forgotten.
 * @param nextAskMs when DPS may be asked again, should that hub refuse us.
 */
export function afterAssigned(history: History, hub: string, nowMs: number, nextAskMs: number): History {
  const { streak: _over, floorMs: _served, ...dps } = history.dps;
  const { verdicts } = hubHistory(history, hub);
  const { [hub]: _old, ...hubs } = history.hubs;
  const asked = {
    ...dps,
    failures: 0,
    answers: dps.answers + 1,
    notBeforeMs: nextAskMs,
    spent: spend(dps.spent, nowMs, costOfSuccess()),
  };
  return withHub({ ...history, hubs, dps: asked }, hub, { verdicts });
}

/**
 * The hub answered CONNECT with 0.
 * @param isFallback it only serves until DPS has answered: that makes the next call to DPS no sooner.
 */
export function afterAccepted(history: History, hub: string, isFallback: boolean): History {
  const { failures, shortSessions, suspicions } = hubHistory(history, hub);
  const { [hub]: _old, ...hubs } = history.hubs;
  const accepted = withHub({ ...history, hubs }, hub, { failures, shortSessions, suspicions });
  if (isFallback) return accepted;
  const { notBeforeMs: _due, ...dps } = accepted.dps;
  // What other hubs thought of us is of no account any more.
  const own = { [hub]: hubHistory(accepted, hub) };
  return { ...accepted, hubs: own, dps: { ...dps, failures: 0, answers: 0 } };
}

/** A session ended after this time, whatever the reason; `wasCut` by the other side. */
export function afterSession(
  history: History,
  hub: string,
  session: { readonly heldForMs: number; readonly wasCut: boolean },
  nowMs: number,
): History {
  const { shortSessions } = hubHistory(history, hub);
  const recent = shortSessions.filter((atMs) => atMs > nowMs - shortSessionWindowMs);
  if (session.heldForMs >= provenAfterMs)
    return withHub(history, hub, { failures: 0, shortSessions: recent, suspicions: 0 });
  return session.wasCut ? withHub(history, hub, { shortSessions: [...recent, nowMs] }) : history;
}

export function afterIdentityFailure(history: History): History {
  return { ...history, identityFailures: history.identityFailures + 1 };
}

export function afterDpsFailure(history: History, { code }: AgentError, nowMs: number): History {
  const { failures, streak, spent } = history.dps;
  return withDps(history, {
    failures: failures + 1,
    streak: longer(streak, code),
    spent: spend(spent, nowMs, costOf(code)),
  });
}

/** @param strike set where the failure is a refusal; two that come closer together than `spacingMs` count as one. */
export function afterHubFailure(
  history: History,
  hub: string,
  { code }: AgentError,
  strike: { readonly spacingMs: number } | undefined,
  nowMs: number,
): History {
  const { failures, streak, strikes } = hubHistory(history, hub);
  const recent = strikes.filter((atMs) => atMs > nowMs - strikeWindowMs);
  const counts = strike !== undefined && nowMs - (recent.at(-1) ?? -Infinity) >= strike.spacingMs;
  return withHub(history, hub, {
    failures: failures + 1,
    streak: longer(streak, code),
    strikes: counts ? [...recent, nowMs] : recent,
  });
}

/** Whether DPS could be reached while a hub could not. */
export function afterProof(history: History, isGood: boolean, nowMs: number): History {
  const bytes = isGood ? handshakeBytes : 0;
  return withDps(history, {
    proof: { atMs: nowMs, isGood },
    spent: spend(history.dps.spent, nowMs, bytes),
  });
}

function longer(streak: Streak | undefined, code: string): Streak {
  return { code, times: streak?.code === code ? streak.times + 1 : 1 };
}
