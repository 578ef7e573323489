import { isJsonObject, type Json } from "../platform/json.ts";

/** What was learned about one network. Times are wall clock, milliseconds since 1970. */
export interface NetworkMemory {
  /** As `describeNetwork` names it. */
  readonly network: string;
  /** When MQTT over TLS was last found blocked while a WebSocket got through. */
  readonly blockedAtMs?: number;
  /** The longest silence that connections survive here, as far as it is known, and since when it is held for that. */
  readonly keepAlive?: { readonly ms: number; readonly sinceMs: number };
}

/** The network used last comes first. */
export type LineMemory = readonly NetworkMemory[];

/** A gateway that is carried around meets few networks twice. */
const mostNetworks = 8;

const dayMs = 24 * 60 * 60_000;

export function recall(memory: LineMemory, network: string): NetworkMemory {
  return memory.find((entry) => entry.network === network) ?? { network };
}

/** With this entry in place of the old one; an entry that says nothing is forgotten. */
export function remember(memory: LineMemory, entry: NetworkMemory): LineMemory {
  const others = memory.filter(({ network }) => network !== entry.network);
  const isEmpty = entry.blockedAtMs === undefined && entry.keepAlive === undefined;
  return isEmpty ? others : [entry, ...others].slice(0, mostNetworks);
}

/** Whether MQTT over TLS is blocked here: for a day, and no longer than the clock allows to believe. */
export function isBlocked({ blockedAtMs }: NetworkMemory, nowMs: number): boolean {
  return blockedAtMs !== undefined && nowMs >= blockedAtMs && nowMs - blockedAtMs < dayMs;
}

/** A connection died of silence: three quarters of the time that was too long, within the bounds that the operator set. */
export function shorter(
  entry: NetworkMemory,
  diedAtMs: number,
  { leastMs, mostMs }: { readonly leastMs: number; readonly mostMs: number },
  nowMs: number,
): NetworkMemory {
  const ms = Math.max(leastMs, Math.round(diedAtMs * 0.75));
  return ms >= mostMs ? entry : { ...entry, keepAlive: { ms, sinceMs: nowMs } };
}

/** A day without such a death: a quarter longer, until nothing is left to remember. */
export function longer(entry: NetworkMemory, mostMs: number, nowMs: number): NetworkMemory {
  const { keepAlive, ...rest } = entry;
  if (keepAlive === undefined) return entry;
  const isQuiet = nowMs - keepAlive.sinceMs >= dayMs || nowMs < keepAlive.sinceMs;
  if (!isQuiet) return entry;
  const ms = Math.round(keepAlive.ms * 1.25);
  return ms >= mostMs ? rest : { ...rest, keepAlive: { ms, sinceMs: nowMs } };
}

/** Reads what the store kept; what does not fit is forgotten. */
export function parseLineMemory(value: Json): LineMemory {
  return Array.isArray(value) ? value.flatMap(parseNetwork).slice(0, mostNetworks) : [];
}

function parseNetwork(value: Json): readonly NetworkMemory[] {
  if (!isJsonObject(value) || typeof value["network"] !== "string") return [];
  const { network, blockedAtMs, keepAlive } = value;
  return [
    {
      network,
      ...(typeof blockedAtMs === "number" && { blockedAtMs }),
      ...parseKeepAlive(keepAlive),
    },
  ];
}

function parseKeepAlive(value: Json | undefined): Pick<NetworkMemory, "keepAlive"> {
  if (value === undefined || !isJsonObject(value)) return {};
  const { ms, sinceMs } = value;
  return typeof ms === "number" && ms > 0 && typeof sinceMs === "number"
    ? { keepAlive: { ms, sinceMs } }
    : {};
}
