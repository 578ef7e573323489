import { isJsonObject, type Json, type JsonObject } from "../platform/json.ts";
import { blankHistory, type DpsHistory, type History, type HubHistory } from "./history.ts";

/** The history as it is on disk, with the agent time at which it was written. */
export interface StoredHistory {
  readonly atMs: number;
  readonly history: History;
}

/** Reads what the store kept; undefined where it does not fit: then every ladder starts anew. */
export function parseHistory(value: Json): StoredHistory | undefined {
  if (!isJsonObject(value) || !isJsonObject(value["history"])) return undefined;
  const atMs = number(value, "atMs");
  const { dps, hubs, about } = value["history"];
  if (atMs === undefined || !isJsonObject(dps) || !isJsonObject(hubs)) return undefined;
  return {
    atMs,
    history: {
      ...blankHistory,
      dps: parseDps(dps),
      hubs: Object.fromEntries(
        Object.entries(hubs).flatMap(([hub, record]) =>
          isJsonObject(record) ? [[hub, parseHub(record)]] : [],
        ),
      ),
      ...(typeof about === "string" && { about }),
    },
  };
}

/**
 * What of a history is worth a write to flash: not each attempt of a long outage, of which a restart needs to know the magnitude.
 * Two histories with the same essence need no second write.
 */
export function essence({ dps, hubs, about }: History): string {
  const { proof: _proof, streak: _last, failures, ...call } = dps;
  const places = Object.entries(hubs).map(([hub, record]) => {
    const { blame: _blame, streak: _code, failures: times, ...rest } = record;
    return [hub, { ...rest, failures: magnitude(times) }];
  });
  return JSON.stringify([{ ...call, failures: magnitude(failures) }, places, about]);
}

function magnitude(count: number): number {
  return count === 0 ? 0 : 1 + Math.floor(Math.log2(count));
}

function parseDps(value: JsonObject): DpsHistory {
  const spent = list(value["spent"]).flatMap((expense) => {
    if (!isJsonObject(expense)) return [];
    const [atMs, bytes] = [number(expense, "atMs"), number(expense, "bytes")];
    return atMs === undefined || bytes === undefined ? [] : [{ atMs, bytes }];
  });
  return {
    failures: number(value, "failures") ?? 0,
    answers: number(value, "answers") ?? 0,
    spent,
    ...streakOf(value),
    ...optional("notBeforeMs", number(value, "notBeforeMs")),
    ...optional("floorMs", number(value, "floorMs")),
  };
}

function parseHub(value: JsonObject): HubHistory {
  return {
    failures: number(value, "failures") ?? 0,
    verdicts: number(value, "verdicts") ?? 0,
    suspicions: number(value, "suspicions") ?? 0,
    strikes: numbers(value["strikes"]),
    shortSessions: numbers(value["shortSessions"]),
    ...streakOf(value),
    ...optional("notBeforeMs", number(value, "notBeforeMs")),
  };
}

function streakOf({ streak }: JsonObject): Pick<HubHistory, "streak"> {
  if (!isJsonObject(streak)) return {};
  const { code } = streak;
  const times = number(streak, "times");
  return typeof code === "string" && times !== undefined ? { streak: { code, times } } : {};
}

function optional<Name extends string>(
  name: Name,
  value: number | undefined,
): { readonly [key in Name]?: number } {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a computed key widens to string
  return (value === undefined ? {} : { [name]: value }) as { readonly [key in Name]?: number };
}

function number(value: JsonObject, name: string): number | undefined {
  const found = value[name];
  return typeof found === "number" && Number.isFinite(found) ? found : undefined;
}

function numbers(value: Json | undefined): readonly number[] {
  return list(value).filter((one) => typeof one === "number");
}

function list(value: Json | undefined): readonly Json[] {
  return Array.isArray(value) ? value : [];
}
