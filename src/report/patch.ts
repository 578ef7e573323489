import type { Reconciled } from "../appliers/reconcile.ts";
import type { JsonObject } from "../platform/json.ts";

/** What the agent tells about itself in its component `latebind`. */
export interface AgentFacts {
  readonly version: string;
  readonly phase: string;
  readonly lastError?: string;
}

/**
 * What our part of the reported properties should be: one IoT Plug and Play acknowledgement `{ value, ac, av, ad }` per property, and the
 * component `latebind`. A top-level null means "must not be there"; keys that are not named are not ours.
 */
export function wantedReported(
  reconciled: Pick<Reconciled, "results" | "absent">,
  facts: AgentFacts,
): JsonObject {
  void reconciled;
  return { latebind: { __t: "c", version: facts.version, phase: facts.phase } };
}

/** The merge patch that turns `previous` into `wanted` on the keys that `wanted` names; undefined where nothing differs. */
export function diffReported(previous: JsonObject, wanted: JsonObject): JsonObject | undefined {
  void previous;
  return wanted;
}
