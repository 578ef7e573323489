import * as v from "valibot";
import { isJson, type Json } from "../platform/json.ts";
import type { Outcome } from "./applier.ts";

/** What is known about one property after it was tried. Plain JSON. */
export interface RememberedProperty {
  readonly component?: string;
  readonly property: string;
  /** Of the value tried last, together with the rule that applied it. */
  readonly digest: string;
  /** The desired version that was answered last. */
  readonly version: number;
  readonly outcome: Outcome;
  /** The value that is certainly in force; absent where nobody knows (never applied, or broken half-way). */
  readonly inForce?: { readonly digest: string; readonly value: Json };
  /** What was in force before attempts that were not finished, or failed half-way. */
  readonly previous?: { readonly digest: string; readonly value: Json };
  /** The outcome stands for this value: it is not tried again until the value, the rule or somebody's wish changes. */
  readonly isFinal?: boolean;
  readonly trial?: Trial;
}

export type InForce = NonNullable<RememberedProperty["inForce"]>;

/** A change that counts only once the hub has been reached after it. */
export interface Trial {
  /** Of the rule that kept it: under another one it is of no use. */
  readonly rule: string;
  /** What the applier needs to undo it. */
  readonly kept: Json;
  /** What was in force before it, where anybody knew. */
  readonly previous?: { readonly digest: string; readonly value: Json };
  /** How many starts of the agent have seen it. */
  readonly starts: number;
}

/** What is applied, kept across restarts. A list and not a map by name: names come from documents, `__proto__` included. */
export type Remembered = readonly RememberedProperty[];

const texts = v.pipe(v.array(v.string()), v.readonly());
export const outcomeSchema: v.GenericSchema<unknown, Outcome> = v.variant("status", [
  v.object({ status: v.literal("unchanged") }),
  v.object({ status: v.literal("applied"), changed: texts }),
  v.object({ status: v.literal("rejected"), problems: texts }),
  v.object({
    status: v.literal("failed"),
    code: v.string(),
    message: v.string(),
    changed: v.exactOptional(texts),
  }),
]);
const json = v.custom<Json>(isJson);
const valueInForce = v.object({ digest: v.string(), value: json });
const trial = v.object({
  rule: v.string(),
  kept: json,
  previous: v.exactOptional(valueInForce),
  starts: v.number(),
});
const rememberedProperty = v.object({
  component: v.exactOptional(v.string()),
  property: v.string(),
  digest: v.string(),
  version: v.number(),
  outcome: outcomeSchema,
  inForce: v.exactOptional(valueInForce),
  previous: v.exactOptional(valueInForce),
  isFinal: v.exactOptional(v.boolean()),
  trial: v.exactOptional(trial),
});

/** Reads what was stored. Entries that cannot be read are left out: their properties are then applied once more. */
export function parseRemembered(stored: unknown): Remembered {
  if (!Array.isArray(stored)) return [];
  return stored.flatMap((entry: unknown) => {
    const parsed = v.safeParse(rememberedProperty, entry);
    return parsed.success ? [parsed.output] : [];
  });
}
