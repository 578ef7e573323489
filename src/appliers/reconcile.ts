import type { Json } from "../platform/json.ts";
import type { Desired } from "../twin/desired.ts";
import type { Appliers, Outcome } from "./applier.ts";
import type { Remembered, RememberedProperty } from "./remembered.ts";
import { settle, type PropertyResult } from "./settle.ts";
import { findTargets, keyOf, type PropertyName } from "./targets.ts";

export interface Reconciled {
  readonly results: readonly PropertyResult[];
  /** Ours, but not in desired: reported as null. */
  readonly absent: readonly PropertyName[];
  /** Absent since this call. What was applied stays as it is, unless the applier withdraws it; worth telling. */
  readonly released: readonly PropertyName[];
  /** Desired properties that no applier serves (`component.setting` within a component). They are not acknowledged. */
  readonly ignored: readonly string[];
  readonly remembered: Remembered;
  /** False when a signal ended it, or a property, early: `results` then lacks some properties. */
  readonly isComplete: boolean;
}

export interface ReconcileInput {
  readonly desired: Desired;
  readonly remembered: Remembered;
  readonly appliers: Appliers;
  /** Stores what is desired, before the device is touched for the first time in this call; left out where `remember` does that. */
  readonly prepare?: () => Promise<void>;
  /**
   * Stores what is desired and remembered before a value in force is replaced, so that a kill in the middle is known as unfinished at the
   * next start. The caller stores the final `remembered` itself.
   */
  readonly remember: (remembered: Remembered) => void | Promise<void>;
  /** Which properties are looked at whether the device is still as it was left; none where absent. */
  readonly isChecked?: (name: PropertyName) => boolean;
  /** Try again what failed for good, and look at everything: somebody asked for it. */
  readonly isForced?: boolean;
  /**
   * Aborted as soon as a newer document wants something else for this property: it is left out then, or ended by signal if it is under
   * way, and the others are done. The caller comes back with the newer document.
   */
  readonly superseded?: (name: PropertyName, value: Json) => AbortSignal;
}

/**
 * Makes the device what desired says, one property at a time; one bad property does not stop the others.
 *
 * What is remembered as in force with the same value and the same rule is acknowledged at the new version without being applied
 * again. Failed and unfinished properties are tried again.
 * @returns also when aborted; that shows in `isComplete`. Throws only what `remember` throws, and bugs.
 */
export async function reconcile(input: ReconcileInput, signal: AbortSignal): Promise<Reconciled> {
  const version = input.desired.version;
  const { targets, unknown, ignored } = findTargets(input.desired, input.appliers);
  const memory = new Map(input.remembered.map((entry) => [keyOf(entry), entry]));
  const settled = new Set<string>();
  const absent: PropertyName[] = [];
  const released: PropertyName[] = [];
  let isComplete = true;
  const results: PropertyResult[] = unknown.map(({ name, problem }) => {
    const outcome: Outcome = { status: "rejected", problems: [problem] };
    return Object.assign({ version, outcome, isFresh: true }, name);
  });
  const done = (): Reconciled => {
    return { results, absent, released, ignored, remembered: [...memory.values()], isComplete };
  };

  let isPrepared = false;
  for (const { name, applier, value } of targets) {
    if (signal.aborted) isComplete = false;
    if (signal.aborted) return done();
    const key = keyOf(name);
    settled.add(key);
    if (value === undefined) {
      absent.push(name);
      if (memory.delete(key)) {
        released.push(name);
        await applier.withdraw?.(signal);
      }
      continue;
    }
    const newer = input.superseded?.(name, value);
    const either = newer === undefined ? signal : AbortSignal.any([signal, newer]);
    const isForced = input.isForced === true;
    const isChecked = isForced || input.isChecked?.(name) === true;
    const wish = { name, applier, value, version, isChecked, isForced };
    const begin = async (unfinished: RememberedProperty | undefined) => {
      if (unfinished !== undefined) memory.set(key, unfinished);
      if (unfinished !== undefined) await input.remember([...memory.values()]);
      else if (!isPrepared) await input.prepare?.();
      isPrepared = true;
    };
    const attempt = either.aborted ? undefined : await settle(wish, memory.get(key), either, begin);
    if (attempt === undefined) {
      isComplete = false;
      continue;
    }
    memory.set(key, attempt.remembered);
    results.push(attempt.result);
  }
  for (const [key, { component, property }] of memory) {
    // Known from an earlier configuration; nobody serves it any more.
    if (settled.has(key)) continue;
    memory.delete(key);
    const name = component === undefined ? { property } : { component, property };
    absent.push(name);
    released.push(name);
  }
  return done();
}
