import type { Json } from "../platform/json.ts";
import { plainText } from "./plain-text.ts";

/** What the agent tells about itself and its device in the component `latebind`. Times are wall clock, milliseconds since 1970. */
export interface AgentFacts {
  readonly version: string;
  readonly phase: string;
  readonly lastError?: string;
  /** `Debian GNU/Linux 13 (trixie)`. */
  readonly os?: string;
  /** Maker and model, as the firmware has them. */
  readonly hardware?: string;
  /** Where the key lives, in words. */
  readonly keyCustody?: string;
  readonly certificateExpiresAtMs?: number;
  /** Since when the hub has had us without an interruption that was not our own wish. */
  readonly connectedSinceMs?: number;
  /** When DPS was asked last with success, and why. */
  readonly provisionedAtMs?: number;
  readonly provisionedBecause?: string;
}

/**
 * The facts as members of the component. Each changes only when what it tells changes, so that an idle device reports nothing.
 *
 * Meant to stand after the settings: an unknown setting that is called like a fact does not hide it.
 */
export function factEntries(facts: AgentFacts): readonly [string, Json][] {
  const texts = {
    __t: "c",
    version: facts.version,
    phase: facts.phase,
    lastError: facts.lastError,
    os: facts.os,
    hardware: facts.hardware,
    keyCustody: facts.keyCustody,
    certificateExpires: moment(facts.certificateExpiresAtMs),
    connectedSince: moment(facts.connectedSinceMs),
    provisionedAt: moment(facts.provisionedAtMs),
    provisionedBecause: facts.provisionedBecause,
  };
  return Object.entries(texts).flatMap(([name, text]): [string, Json][] =>
    text === undefined ? [] : [[name, plainText(text)]],
  );
}

/** RFC 3339 with whole seconds: a clock that was set by less than that is no news. */
function moment(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
