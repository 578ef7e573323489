import type { Json } from "../platform/json.ts";
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
}

/** What is applied, kept across restarts. A list and not a map by name: names come from documents, `__proto__` included. */
export type Remembered = readonly RememberedProperty[];
