import type { KnownTime } from "../platform/known-time.ts";

/** What is known about the wall clock; times in milliseconds since 1970. */
export interface ClockFacts extends KnownTime {
  readonly nowMs: number;
  /** By the kernel; undefined where nobody can tell. */
  readonly isSynchronised: boolean | undefined;
}

/** Whether the wall clock is to be believed, and if not, why: `because` continues "the clock says …". */
export type ClockOpinion =
  | { readonly status: "trusted"; readonly isSynchronised: boolean }
  | { readonly status: "wrong" | "doubtful"; readonly because: string };

/** Time zones, and images whose files were dated by another machine. */
const slackMs = 24 * 60 * 60_000;

/** A device that stores nothing for longer is rare; a clock that starts in a wrong year is not. */
const longSilenceMs = 365 * 24 * 60 * 60_000;

/**
 * What to think of the clock when something failed that a wrong clock explains. Pure.
 *
 * Only "built" is beyond doubt: what this device stored may have been dated by a clock that ran ahead, so there the kernel's word counts
 * for more.
 */
export function clockOpinion(facts: ClockFacts): ClockOpinion {
  const { nowMs, builtAtMs, storedAtMs = 0, isSynchronised } = facts;
  if (nowMs < builtAtMs - slackMs)
    return { status: "wrong", because: `but this software was built on ${day(builtAtMs)}` };
  if (isSynchronised === true) return { status: "trusted", isSynchronised };
  if (nowMs < storedAtMs - slackMs)
    return { status: "wrong", because: `but this device stored its state on ${day(storedAtMs)}` };
  const silenceMs = nowMs - Math.max(builtAtMs, storedAtMs);
  const silence =
    silenceMs < longSilenceMs ? "" : `, ${years(silenceMs)} after anything that this device knows of`;
  if (isSynchronised === false)
    return { status: "doubtful", because: `and it is not synchronised${silence}` };
  return silence === ""
    ? { status: "trusted", isSynchronised: false }
    : { status: "doubtful", because: silence.slice(", ".length) };
}

/** 2026-11-22 */
export function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

function years(ms: number): string {
  const count = Math.round(ms / longSilenceMs);
  return count === 1 ? "a year" : `${count} years`;
}
