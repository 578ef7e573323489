import type { PropertyResult } from "../appliers/settle.ts";
import type { Session } from "../hub/session.ts";
import { backoff, type Random } from "../platform/backoff.ts";
import { AgentError } from "../platform/failure.ts";
import {
  canonicalJson,
  isJsonObject,
  mergePatch,
  ownMember,
  type Json,
  type JsonObject,
} from "../platform/json.ts";
import type { Log } from "../platform/log.ts";
import type { Clock } from "../platform/time.ts";
import { deliver, type Delivered } from "../report/deliver.ts";
import { diffReported } from "../report/patch.ts";
import { joinUnits, unitKey, unitsOf, type Unit } from "../report/units.ts";

export interface Told {
  /** The reported properties as the hub has them now. */
  readonly reported: JsonObject;
  /** When to tell again what the hub has not taken yet, in milliseconds; undefined where it has everything that it takes. */
  readonly againInMs?: number;
}

/** Makes the wanted reported properties, without the values that the hub has refused as they are. */
export type Wish = (reported: JsonObject, isRefused: (result: PropertyResult) => boolean) => JsonObject;

/** After a report that failed at the hub without a hint when to come back. */
const ladder = { firstMs: 2_000, capMs: 10 * 60_000 };

/** With a hint it is kept, and stretched by up to this share: a throttled fleet must not come back at one moment. */
const spread = 0.25;

/**
 * Tells the hub what differs from what it knows, and remembers what it refuses. One for each process.
 *
 * A throttled hub hears nothing before the time it asked for, whatever changes meanwhile; then it hears the sum. What it refuses as
 * wrong is told without its value, and where that is refused too, not again until it changes.
 */
export class Reporter {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log: Log;
  /** By unit: the value, or the whole unit, that the hub has refused. */
  readonly #refusedValues = new Map<string, string>();
  readonly #quarantined = new Map<string, string>();
  #failures = 0;
  #notBeforeMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, random: Random, log: Log) {
    this.#clock = clock;
    this.#random = random;
    this.#log = log;
  }

  /** Names of what the hub does not take, for the status. */
  get quarantined(): readonly string[] {
    return [...this.#quarantined.keys()].map(placeOf);
  }

  /**
   * @param reported as the hub has them.
   * @throws AgentError what ends the session; the signal's reason.
   */
  async tell(session: Session, wish: Wish, reported: JsonObject, signal: AbortSignal): Promise<Told> {
    for (let known = reported; ;) {
      const wanted = wish(known, (result) => this.#isRefused(result));
      const patch = this.#patchFor(known, wanted);
      if (patch === undefined) return { reported: known };
      const waitMs = this.#notBeforeMs - this.#clock.monotonic();
      if (waitMs > 0) return { reported: known, againInMs: waitMs };
      const delivered = await deliver(patch, async (batch) => {
        await session.report(batch, signal);
      });
      known = this.#accept(known, delivered);
      if (delivered.stoppedBy !== undefined)
        return { reported: known, againInMs: this.#hold(session, delivered.stoppedBy) };
      this.#failures = 0;
      for (const { unit, error } of delivered.refused) this.#refuse(unit, wanted, error);
    }
  }

  #accept(known: JsonObject, { accepted }: Delivered): JsonObject {
    if (accepted.length === 0) return known;
    const patch = joinUnits(accepted);
    this.#log.info("report.accepted", { properties: Object.keys(patch) });
    return mergePatch(known, patch);
  }

  /** What differs, without what the hub refused just like that. */
  #patchFor(known: JsonObject, wanted: JsonObject): JsonObject | undefined {
    const patch = diffReported(known, wanted);
    if (patch === undefined) return undefined;
    const units = unitsOf(patch).filter((unit) => {
      const key = unitKey(unit);
      const refused = this.#quarantined.get(key);
      if (refused === undefined || refused === textAt(wanted, unit)) return refused === undefined;
      this.#quarantined.delete(key);
      return true;
    });
    return units.length === 0 ? undefined : joinUnits(units);
  }

  #isRefused({ component, property, value }: PropertyResult): boolean {
    const path: Unit["path"] = component === undefined ? [property] : [component, property];
    return value !== undefined && this.#refusedValues.get(unitKey({ path })) === canonicalJson(value);
  }

  /** First without its value, then not at all. */
  #refuse(unit: Unit, wanted: JsonObject, error: AgentError): void {
    const key = unitKey(unit);
    const whole = memberAt(wanted, unit);
    const value = isJsonObject(whole) && Object.hasOwn(whole, "ac") ? ownMember(whole, "value") : undefined;
    if (value === undefined) {
      this.#quarantined.set(key, textAt(wanted, unit));
      this.#log.error("report.quarantined", { property: placeOf(key), error });
    } else {
      this.#refusedValues.set(key, canonicalJson(value));
      this.#log.warning("report.value-refused", { property: placeOf(key), error });
    }
  }

  /** @returns for how long the hub is to be left alone. */
  #hold(session: Session, error: AgentError): number {
    if (session.lost.aborted || error.code === "hub/no-answer") throw error;
    this.#failures += 1;
    const inMs =
      error.retryAfterMs === undefined
        ? backoff(ladder, this.#failures, this.#random)
        : Math.round(error.retryAfterMs * (1 + spread * this.#random()));
    this.#notBeforeMs = this.#clock.monotonic() + inMs;
    this.#log.warning("report.postponed", { error, inMs });
    return inMs;
  }
}

function memberAt(document: JsonObject, { path: [name, member] }: Unit): Json | undefined {
  const outer = ownMember(document, name);
  return member === undefined || !isJsonObject(outer) ? outer : ownMember(outer, member);
}

function textAt(document: JsonObject, unit: Unit): string {
  return canonicalJson(memberAt(document, unit) ?? null);
}

function placeOf(key: string): string {
  const path: unknown = JSON.parse(key);
  return Array.isArray(path) ? path.join(".") : key;
}
