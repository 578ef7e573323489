import type { JournalEntry } from "./journal.ts";

/**
 * The journal in sentences, one for each entry: `2026-11-22 14:02:10Z  hub-test refused device "gw-1" (CONNACK 5) …, strike 1 of 2; next: …`.
 * Pure. @param entries the oldest first.
 */
export function tellStory(entries: readonly JournalEntry[]): readonly string[] {
  let lastHub: string | undefined;
  return entries.map((entry) => {
    const says = sentence(entry, lastHub);
    if (entry.kind === "connected") lastHub = entry.hub;
    return `${moment(entry.atMs)}  ${says}`;
  });
}

function sentence(entry: JournalEntry, lastHub: string | undefined): string {
  switch (entry.kind) {
    case "started":
      return `latebind ${entry.version} started`;
    case "asked-dps":
      return `asked DPS at ${entry.endpoint}: ${entry.because}`;
    case "assigned": {
      const substatus = entry.substatus === undefined ? "" : ` (${entry.substatus})`;
      return `DPS assigned ${entry.hub}, as device "${entry.deviceId}"${substatus}`;
    }
    case "connected":
      return lastHub === undefined || lastHub === entry.hub
        ? `connected to ${entry.hub}`
        : `moved from ${lastHub} to ${entry.hub}`;
    case "dropped":
      return `dropped the old assignment to ${entry.hub}: its successor works`;
    case "left":
      return `left ${entry.hub}: ${entry.because}`;
    case "failed":
      return failure(entry);
    case "woken":
      return `did not wait any longer: ${entry.because ?? entry.by}`;
    case "note":
      return entry.says;
  }
}

function failure(entry: Extract<JournalEntry, { readonly kind: "failed" }>): string {
  const strike = entry.strike === undefined ? "" : `, strike ${entry.strike} of 2`;
  const times = entry.times < 2 ? "" : `, ${entry.times} times in a row`;
  return `${entry.message} [${entry.code}]${strike}${times}; next: ${entry.next} at ${clockTime(entry.nextAtMs)}`;
}

/** 2026-11-22 14:02:10Z */
function moment(ms: number): string {
  return `${iso(ms).slice(0, 10)} ${clockTime(ms)}`;
}

function clockTime(ms: number): string {
  return `${iso(ms).slice(11, 19)}Z`;
}

/** A clock may say what no calendar knows. */
function iso(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? "????-??-??T??:??:??" : date.toISOString();
}
