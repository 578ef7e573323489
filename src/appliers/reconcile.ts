import type { Json } from "../platform/json.ts";
import type { Desired } from "../twin/desired.ts";
import type { Appliers, Outcome } from "./applier.ts";
import type { Remembered } from "./remembered.ts";

/** The answer to one desired property, at the desired version it answers. */
export interface PropertyResult {
  readonly component?: string;
  readonly property: string;
  readonly version: number;
  readonly outcome: Outcome;
  /** What is in force now; absent where nobody knows. */
  readonly value?: Json;
  /** Whether the applier was at work in this call (false: remembered from earlier). For the log. */
  readonly isFresh: boolean;
}

export interface PropertyName {
  readonly component?: string;
  readonly property: string;
}

export interface Reconciled {
  readonly results: readonly PropertyResult[];
  /** Ours, but not in desired: reported as null. */
  readonly absent: readonly PropertyName[];
  /** Absent since this call: what was applied stays as it is (unless the applier withdraws it), and this is worth telling. */
  readonly released: readonly PropertyName[];
  /** Desired properties that no applier serves. They are not acknowledged. */
  readonly ignored: readonly string[];
  readonly remembered: Remembered;
  /** False when the signal ended it early: `results` then lacks some properties. */
  readonly isComplete: boolean;
}

export interface ReconcileInput {
  readonly desired: Desired;
  readonly remembered: Remembered;
  readonly appliers: Appliers;
  /**
   * Stores what is remembered before a durable change begins, so that a kill in the middle is known as unfinished at the next
   * start. The caller stores the final `remembered` itself.
   */
  remember(remembered: Remembered): void | Promise<void>;
}

/**
 * Makes the device what desired says, one property at a time; one bad property does not stop the others.
 *
 * What is remembered as in force with the same value and the same rule is acknowledged at the new version without being applied
 * again. Failed and unfinished properties are tried again.
 * @returns always; an abort shows in `isComplete`.
 */
export async function reconcile(input: ReconcileInput, signal: AbortSignal): Promise<Reconciled> {
  void input;
  void signal;
  await Promise.resolve();
  return { results: [], absent: [], released: [], ignored: [], remembered: [], isComplete: false };
}
