import { AgentError } from "../platform/failure.ts";
import {
  afterDpsFailure,
  afterHubFailure,
  afterIdentityFailure,
  hubHistory,
  type History,
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
      const error = withPattern(thrown, hubHistory(history, hub).shortSessions.length, hub, deviceId);
      // What this machine finds out by itself, as that its TPM lost the key, needs no time to come into step.
      const spacingMs = error.code.startsWith("identity/") ? 0 : refusalRetryMs;
      const strike = isRefusal(error) ? { spacingMs } : undefined;
      return { history: afterHubFailure(history, hub, error, strike, nowMs), error };
    }
  }
}

function withPattern(thrown: AgentError, shortSessions: number, hub: string, deviceId: string): AgentError {
  if (thrown.code !== "mqtt/connection-lost" || shortSessions < manyShortSessions) return thrown;
  return new AgentError(
    duplicateSuspected,
    "operator",
    `${hub} took this device in and cut it off within a minute, ${shortSessions} times in ten minutes. Most likely another device ` +
      `connects as "${deviceId}" with the same key: find it, and give each device a key of its own`,
    { cause: thrown },
  );
}
