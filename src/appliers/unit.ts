import * as v from "valibot";
import type { UnitRule } from "../config/config.ts";
import { canonicalJson, isJsonObject, ownMember, type Json } from "../platform/json.ts";
import type { Applier, Outcome, Parsed, Step } from "./applier.ts";
import { changeUnit, readUnit, type UnitState } from "./systemctl.ts";
import type { Failed } from "./write-target.ts";

/** What the twin may say about one unit: `{"my-app.service": {"enabled": true, "started": true, "restart": "v2"}}`. */
const wantedUnit = v.strictObject({
  enabled: v.exactOptional(v.boolean()),
  started: v.exactOptional(v.boolean()),
  /** The unit is restarted whenever this text changes. */
  restart: v.exactOptional(v.pipe(v.string(), v.maxLength(256))),
});
type WantedUnit = v.InferOutput<typeof wantedUnit>;
type WantedUnits = readonly (readonly [unit: string, wanted: WantedUnit])[];

interface UnitStep extends Step {
  readonly unit: string;
  readonly wanted: WantedUnit;
  readonly isRestarted: boolean;
}

const keptUnits = v.array(
  v.object({ unit: v.string(), enabled: v.exactOptional(v.boolean()), started: v.boolean() }),
);

/**
 * Brings systemd units of a local list to the desired state: enabled, started, restarted on change. Units that the value does not name are
 * left alone.
 *
 * Failures by code: `appliers/unit-missing`, `appliers/unit-failed` (systemctl's last line), those of `runCommand`.
 * @param systemctl absolute path.
 */
export function createUnitApplier(rule: UnitRule, systemctl: string): Applier {
  const manager = { systemctl, timeoutMs: rule.timeoutMs };
  const applier: Applier<WantedUnits, UnitStep> = {
    fingerprint: canonicalJson({ units: rule.units }),
    isDurable: true,
    parse: async (value) => parseUnits(rule, value),
    plan: (units, { previous }) =>
      units.map(([unit, wanted]) => {
        const isRestarted = wanted.restart !== undefined && restartIn(previous, unit) !== wanted.restart;
        return { says: wordsOf(unit, wanted, isRestarted), unit, wanted, isRestarted };
      }),
    async execute(steps, signal) {
      const changed: string[] = [];
      for (const { unit, wanted, isRestarted } of steps) {
        signal.throwIfAborted();
        const result = await changeUnit(manager, unit, { ...wanted, isRestarted }, signal);
        changed.push(...result.changed);
        if (result.status === "failed") return { ...result.failure, changed };
      }
      return changed.length === 0 ? { status: "unchanged" } : { status: "applied", changed };
    },
    async keep(_, signal) {
      const kept: Json[] = [];
      for (const unit of rule.units) {
        const state = await readUnit(manager, unit, signal);
        if (state.status === "failed") return state;
        const { enabled, started } = state;
        kept.push({ unit, started, ...(enabled !== undefined && { enabled }) });
      }
      return { status: "kept", kept };
    },
    async restore(kept, _, signal): Promise<Outcome> {
      const parsed = v.safeParse(keptUnits, kept);
      if (!parsed.success)
        return { status: "failed", code: "appliers/not-kept", message: "what was kept cannot be read" };
      const changed: string[] = [];
      for (const { unit, ...wanted } of parsed.output) {
        const result = await changeUnit(manager, unit, wanted, signal);
        changed.push(...result.changed);
        if (result.status === "failed") return { ...result.failure, changed };
      }
      return changed.length === 0 ? { status: "unchanged" } : { status: "applied", changed };
    },
    async findDrift(steps, signal) {
      const drift: string[] = [];
      for (const { unit, wanted } of steps)
        drift.push(...differences(unit, wanted, await readUnit(manager, unit, signal)));
      return drift;
    },
  };
  return applier;
}

function parseUnits({ property, units }: UnitRule, value: Json): Parsed<WantedUnits> {
  if (!isJsonObject(value))
    return { status: "rejected", problems: [`${property}: expected an object of units`] };
  const problems: string[] = [];
  const wanted: (readonly [string, WantedUnit])[] = [];
  for (const [unit, member] of Object.entries(value)) {
    const parsed = v.safeParse(wantedUnit, member);
    if (!units.includes(unit))
      problems.push(`${property}.${unit}: not in the local list; known: ${units.join(", ")}`);
    else if (Array.isArray(member) || !parsed.success)
      problems.push(`${property}.${unit}: expected enabled and started (true or false) and restart (a text)`);
    else wanted.push([unit, parsed.output]);
  }
  return problems.length > 0 ? { status: "rejected", problems } : { status: "parsed", value: wanted };
}

function restartIn(previous: Json | undefined, unit: string): Json | undefined {
  const before = isJsonObject(previous) ? ownMember(previous, unit) : undefined;
  return isJsonObject(before) ? ownMember(before, "restart") : undefined;
}

function wordsOf(unit: string, { enabled, started }: WantedUnit, isRestarted: boolean): string {
  const words = [
    ...(enabled === undefined ? [] : [enabled ? "enabled" : "disabled"]),
    ...(started === undefined ? [] : [started ? "started" : "stopped"]),
    ...(isRestarted ? ["restarted"] : []),
  ];
  return `have ${unit} ${words.length === 0 ? "as it is" : words.join(" and ")}`;
}

function differences(
  unit: string,
  { enabled, started }: WantedUnit,
  state: ({ readonly status: "read" } & UnitState) | Failed,
): readonly string[] {
  if (state.status === "failed") return [state.message];
  const isEnabledSo = enabled === undefined || state.enabled === undefined || state.enabled === enabled;
  const isStartedSo = started === undefined || state.started === started;
  return [
    ...(isEnabledSo ? [] : [`${unit} is ${state.enabled ? "enabled" : "disabled"}`]),
    ...(isStartedSo ? [] : [`${unit} is ${state.started ? "started" : "stopped"}`]),
  ];
}
