import * as v from "valibot";
import type { UnitRule } from "../config/config.ts";
import { canonicalJson, type Json } from "../platform/json.ts";
import type { Applier, Outcome, Parsed, Step } from "./applier.ts";
import { changeUnit, readUnit, type UnitState } from "./systemctl.ts";
import type { Failed } from "./write-target.ts";

/**
 * What the twin may say about one unit: `{"unit": "my-app.service", "enabled": true, "started": true, "restart": "v2"}`. In a list, because a
 * twin has no dots in its keys.
 */
const wantedUnit = v.strictObject({
  unit: v.string(),
  enabled: v.exactOptional(v.boolean()),
  started: v.exactOptional(v.boolean()),
  /** The unit is restarted whenever this text changes. */
  restart: v.exactOptional(v.pipe(v.string(), v.maxLength(256))),
});
type WantedUnit = v.InferOutput<typeof wantedUnit>;

interface UnitStep extends Step {
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
  const applier: Applier<readonly WantedUnit[], UnitStep> = {
    fingerprint: canonicalJson({ units: rule.units }),
    isDurable: true,
    parse: async (value) => parseUnits(rule, value),
    plan: (units, { previous }) =>
      units.map((wanted) => {
        const isRestarted =
          wanted.restart !== undefined && restartIn(previous, wanted.unit) !== wanted.restart;
        return { says: wordsOf(wanted, isRestarted), wanted, isRestarted };
      }),
    async execute(steps, signal) {
      const changed: string[] = [];
      for (const { wanted, isRestarted } of steps) {
        signal.throwIfAborted();
        const result = await changeUnit(manager, wanted.unit, { ...wanted, isRestarted }, signal);
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
      for (const { wanted } of steps)
        drift.push(...differences(wanted, await readUnit(manager, wanted.unit, signal)));
      return drift;
    },
  };
  return applier;
}

function parseUnits({ property, units }: UnitRule, value: Json): Parsed<readonly WantedUnit[]> {
  if (!Array.isArray(value))
    return { status: "rejected", problems: [`${property}: expected a list of units`] };
  const problems: string[] = [];
  const wanted: WantedUnit[] = [];
  for (const [index, item] of value.entries()) {
    const path = `${property}[${index}]`;
    const parsed = v.safeParse(wantedUnit, item);
    if (!parsed.success || Array.isArray(item))
      problems.push(
        `${path}: expected unit, and of enabled, started (true or false) and restart (a text) what matters`,
      );
    else if (!units.includes(parsed.output.unit))
      problems.push(`${path}.unit: not in the local list; known: ${units.join(", ")}`);
    else if (wanted.some(({ unit }) => unit === parsed.output.unit))
      problems.push(`${path}.unit: named twice`);
    else wanted.push(parsed.output);
  }
  return problems.length > 0 ? { status: "rejected", problems } : { status: "parsed", value: wanted };
}

function restartIn(previous: Json | undefined, unit: string): string | undefined {
  const before = v.safeParse(v.array(wantedUnit), previous);
  return before.success ? before.output.find((one) => one.unit === unit)?.restart : undefined;
}

function wordsOf({ unit, enabled, started }: WantedUnit, isRestarted: boolean): string {
  const words = [
    ...(enabled === undefined ? [] : [enabled ? "enabled" : "disabled"]),
    ...(started === undefined ? [] : [started ? "started" : "stopped"]),
    ...(isRestarted ? ["restarted"] : []),
  ];
  return `have ${unit} ${words.length === 0 ? "as it is" : words.join(" and ")}`;
}

function differences(
  { unit, enabled, started }: WantedUnit,
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
