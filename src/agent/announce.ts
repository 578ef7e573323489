import type { AgentError } from "../platform/failure.ts";
import { hubHistory } from "./history.ts";
import type { Parts } from "./parts.ts";
import type { Phase } from "./phase.ts";
import { isRefusal } from "./ladders.ts";
import type { Decision } from "./recover.ts";

/** Tells log, status and journal what failed and what comes next. */
export function announce(
  phase: Phase,
  error: AgentError,
  { next, delayMs, history }: Decision,
  parts: Parts,
): void {
  const { log, clock, onHealth, journal } = parts;
  const room = { identifying: "identity", provisioning: "provisioning", online: "hub" }[phase.at];
  const isGrave = error.remedy === "operator" || error.remedy === "reprovision";
  const { code, message } = error;
  const untilMs = clock.now() + delayMs;
  log[isGrave ? "error" : "warning"](`${room}.failed`, { error, next: nextWords(next), inMs: delayMs });
  onHealth({ at: "waiting", forMs: delayMs, untilMs, next: nextWords(next), error: { code, message } });
  const record = phase.at === "online" ? hubHistory(history, phase.assignment.hub) : undefined;
  const { streak, failures } = record ?? history.dps;
  const times = streak?.times ?? 1;
  if (phase.at === "identifying" ? !isTold(history.identityFailures) : !isTold(failures, times)) return;
  const strike = record !== undefined && isRefusal(error) ? { strike: record.strikes.length } : {};
  journal.write({
    kind: "failed",
    at: phase.at,
    code,
    message,
    ...strike,
    times,
    next: nextWords(next),
    nextAtMs: untilMs,
  });
}

/** How many failures in a row are told when they change their code. */
const mostChanges = 64;

/** A long outage is told at its 1st, 2nd, 4th, 8th … attempt, whatever the codes: the flash has to last for years. */
function isTold(failures: number, times = failures): boolean {
  return isPower(failures) || (failures < mostChanges && isPower(times));
}

function isPower(count: number): boolean {
  return Number.isInteger(Math.log2(count));
}

/** What a phase is about to do, for a person. */
export function nextWords(next: Phase): string {
  switch (next.at) {
    case "identifying":
      return "open the identity";
    case "provisioning":
      return "ask DPS";
    case "online":
      return `connect to ${next.assignment.hub}`;
  }
}
