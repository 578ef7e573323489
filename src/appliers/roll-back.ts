import type { Applier, Appliers, Outcome } from "./applier.ts";
import type { Remembered, RememberedProperty, Trial } from "./remembered.ts";
import type { PropertyResult } from "./settle.ts";
import { keyOf, type PropertyName } from "./targets.ts";

/** An entry of the memory that is on trial. */
type OnTrial = RememberedProperty & { readonly trial: Trial };

export interface ChangeOnTrial {
  readonly entry: OnTrial;
  readonly applier: Applier;
  /** How long it may wait for the hub. */
  readonly confirmMs: number;
}

/** The changes that wait for the hub to be reached, with their appliers. */
export function changesOnTrial(remembered: Remembered, appliers: Appliers): readonly ChangeOnTrial[] {
  return remembered.flatMap((entry) => {
    const applier = applierOf(entry, appliers);
    if (!isOnTrial(entry) || applier?.confirmMs === undefined) return [];
    return [{ entry, applier, confirmMs: applier.confirmMs }];
  });
}

/**
 * Undoes one change on trial: what was there before it is there again, and the value that was tried is not tried again.
 * @returns the new entry of the memory, which keeps the trial where undoing failed: it can be called again.
 */
export async function rollBack(
  { entry, applier }: ChangeOnTrial,
  because: string,
  signal: AbortSignal,
): Promise<{ readonly result: PropertyResult; readonly remembered: RememberedProperty }> {
  const { trial, version, digest } = entry;
  const name = nameOf(entry);
  const previous = trial.previous === undefined ? {} : { previous: trial.previous.value };
  const restored = await applier.restore?.(trial.kept, { version, ...previous }, signal);
  if (restored?.status === "failed" || restored?.status === "rejected") {
    const why = restored.status === "failed" ? restored.message : restored.problems.join("; ");
    const message = `${because}, and it could not be undone: ${why}`;
    const outcome: Outcome = { status: "failed", code: "appliers/not-rolled-back", message };
    return {
      result: { ...name, version, outcome, isFresh: true },
      remembered: { ...name, digest, version, outcome, trial },
    };
  }
  const outcome: Outcome = {
    status: "failed",
    code: "appliers/not-confirmed",
    message: `${because}; rolled back`,
  };
  const { previous: inForce } = trial;
  return {
    result: {
      ...name,
      version,
      outcome,
      isFresh: true,
      isFinal: true,
      ...(inForce && { value: inForce.value }),
    },
    remembered: { ...name, digest, version, outcome, isFinal: true, ...(inForce && { inForce }) },
  };
}

/** The same memory with these changes counting for good. */
export function confirm(remembered: Remembered, proven: readonly ChangeOnTrial[]): Remembered {
  const keys = new Set(proven.map(({ entry }) => keyOf(entry)));
  return remembered.map((entry) => {
    const { trial: _, ...confirmed } = entry;
    return keys.has(keyOf(entry)) ? confirmed : entry;
  });
}

/** The same memory after one more start of the agent. */
export function countStart(remembered: Remembered): Remembered {
  return remembered.map((entry) =>
    isOnTrial(entry) ? { ...entry, trial: { ...entry.trial, starts: entry.trial.starts + 1 } } : entry,
  );
}

function isOnTrial(entry: RememberedProperty): entry is OnTrial {
  return entry.trial !== undefined;
}

function nameOf({ component, property }: PropertyName): PropertyName {
  return component === undefined ? { property } : { component, property };
}

function applierOf({ component, property }: PropertyName, appliers: Appliers): Applier | undefined {
  if (component === undefined) return appliers.properties.get(property);
  return appliers.components.get(component)?.get(property);
}
