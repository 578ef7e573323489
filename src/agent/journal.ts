import { systemCode } from "../platform/failure.ts";
import { isJson, isJsonObject, type Json, type JsonObject } from "../platform/json.ts";
import { openLineRing, readLineRing } from "../platform/line-ring.ts";
import type { Log } from "../platform/log.ts";
import type { Clock } from "../platform/time.ts";

/** What is worth remembering of the agent's way, for a person who asks later why. */
type JournalEvent =
  | { readonly kind: "started"; readonly version: string }
  | { readonly kind: "asked-dps"; readonly endpoint: string; readonly because: string }
  | {
      readonly kind: "assigned";
      readonly hub: string;
      readonly deviceId: string;
      readonly substatus?: string;
    }
  | { readonly kind: "connected"; readonly hub: string; readonly deviceId: string }
  /** The assignment that served before was dropped, because its successor works. */
  | { readonly kind: "dropped"; readonly hub: string }
  | { readonly kind: "left"; readonly hub: string; readonly because: string }
  | {
      readonly kind: "failed";
      readonly at: "identifying" | "provisioning" | "online";
      readonly code: string;
      readonly message: string;
      /** Which refusal by the hub this was. */
      readonly strike?: number;
      /** How often this came in a row; 1, 2, 4, 8, … are written. */
      readonly times: number;
      readonly next: string;
      /** Wall clock. */
      readonly nextAtMs: number;
    }
  | { readonly kind: "woken"; readonly by: string; readonly because?: string }
  /** Anything else, as a sentence. */
  | { readonly kind: "note"; readonly says: string };

/** `atMs`: wall clock, milliseconds since 1970, right or wrong. */
export type JournalEntry = JournalEvent & { readonly atMs: number };

export interface Journal {
  /** Never throws: trouble with the disk is told once in the log. */
  write(event: JournalEvent): void;
}

const fileName = "journal";

/** Some 400 entries each; two of them. */
const mostBytes = 64 * 1024;

/** The journal in the state directory; `latebind explain` reads it back. */
export function openJournal(directory: string, clock: Clock, log: Log): Journal {
  const ring = openLineRing(directory, fileName, mostBytes);
  let isBroken = false;
  return {
    write(event) {
      try {
        ring.append(JSON.stringify({ atMs: clock.now(), ...event }));
        isBroken = false;
      } catch (error) {
        if (systemCode(error) === "") throw error;
        if (!isBroken) log.error("agent.journal-not-written", { error });
        isBroken = true;
      }
    },
  };
}

/** What the journal holds, the oldest first. Lines that a power cut tore are left out. @throws the system's error. */
export function readJournal(directory: string): readonly JournalEntry[] {
  return readLineRing(directory, fileName).flatMap((line) => {
    const value = parseLine(line);
    return isJsonObject(value) && isEntry(value) ? [value] : [];
  });
}

function parseLine(line: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isJson(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** What this program wrote is trusted once it is whole. */
function isEntry(value: JsonObject): value is JsonObject & JournalEntry {
  return typeof value["atMs"] === "number" && typeof value["kind"] === "string";
}
