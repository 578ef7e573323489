import { AgentError } from "../platform/failure.ts";
import {
  afterDpsFailure,
  afterHubFailure,
  afterIdentityFailure,
  hubHistory,
  withHub,
  type History,
  type HubHistory,
} from "./history.ts";
import { duplicateSuspected, isRefusal } from "./ladders.ts";
import type { Phase } from "./phase.ts";

export interface Counting {
  /** Agent time. */
  readonly nowMs: number;
  /** Two refusals that come closer together than this count as one. */
  readonly refusalRetryMs: number;
}

/** So many short sessions within their window are a pattern: over MQTT 3.1.1 a hub throws out the older of two without a word. */
const manyShortSessions = 4;

/** Enters a failure into the history, and finds what only a pattern tells. Pure. */
export function countFailure(
  history: History,
  phase: Phase,
  thrown: AgentError,
  { nowMs, refusalRetryMs }: Counting,
): { readonly history: History; readonly error: AgentError } {
  switch (phase.at) {
    case "identifying":
      return { history: afterIdentityFailure(history), error: thrown };
    case "provisioning":
      return { history: afterDpsFailure(history, thrown, nowMs), error: thrown };
    case "online": {
      const { hub, deviceId } = phase.assignment;
      const record = hubHistory(history, hub);
      const isSuspect = thrown.code === "mqtt/connection-lost" && isDuplicateLikely(record, nowMs);
      const error = isSuspect ? duplicate(thrown, hub, deviceId) : thrown;
      // What this machine finds out by itself, as that its TPM lost the key, needs no time to come into step.
      const spacingMs = error.code.startsWith("identity/") ? 0 : refusalRetryMs;
      const strike = isRefusal(error) ? { spacingMs } : undefined;
      const counted = afterHubFailure(history, hub, error, strike, nowMs);
      return {
        history: isSuspect ? withHub(counted, hub, { suspicions: record.suspicions + 1 }) : counted,
        error,
      };
    }
  }
}

/** Once that is found, each further session that is cut short confirms it, however far apart they are by then. */
function isDuplicateLikely({ shortSessions, suspicions }: HubHistory, nowMs: number): boolean {
  const wasShort = nowMs - (shortSessions.at(-1) ?? -Infinity) < 5_000;
  return shortSessions.length >= manyShortSessions || (suspicions > 0 && wasShort);
}

function duplicate(thrown: AgentError, hub: string, deviceId: string): AgentError {
  return new AgentError(
    duplicateSuspected,
    "operator",
    `${hub} takes this device in and cuts it off within a minute, again and again. Most likely another device connects as ` +
      `"${deviceId}" with the same key: find it, and give each device a key of its own`,
    { cause: thrown },
  );
}
