import type { History } from "./history.ts";
import type { JournalEntry } from "./journal.ts";

const day = 24 * 60 * 60_000;

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

/** What is remembered beside the journal, as far as a person may wonder: what DPS cost, and what holds the agent back. Pure. */
export function tellStanding({ dps, hubs }: History, nowMs: number): readonly string[] {
  const spent = dps.spent.filter(({ atMs }) => atMs > nowMs - day);
  const bytes = spent.reduce((sum, expense) => sum + expense.bytes, 0);
  const conversations = spent.length === 1 ? "1 conversation" : `${spent.length} conversations`;
  const held = Object.entries(hubs).filter(([, { notBeforeMs = 0 }]) => notBeforeMs > nowMs);
  return [
    `In the last 24 hours: ${conversations} with DPS, some ${Math.round(bytes / 1000)} kB.`,
    ...((dps.notBeforeMs ?? 0) > nowMs
      ? [`DPS is asked again from ${moment(dps.notBeforeMs ?? 0)} on, or at once: latebind reprovision`]
      : []),
    ...held.map(
      ([hub, { notBeforeMs = 0 }]) => `${hub} refused us; it is tried again from ${moment(notBeforeMs)} on.`,
    ),
  ];
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
