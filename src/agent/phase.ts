import type { Identity } from "../identity/identity.ts";
import type { Assignment } from "../provisioning/assignment.ts";

/** Where the agent is, with the facts gathered so far. Plain data: log it, compare it. */
export type Phase =
  | {
      readonly at: "identifying";
      /** Set when DPS is to be asked whatever is stored. */
      readonly askDpsBecause?: string;
    }
  | Provisioning
  | Online;

export interface Provisioning {
  readonly at: "provisioning";
  readonly identity: Identity;
  /** Why DPS is asked, for the log and the status. */
  readonly because: string;
  readonly claim: Claim;
  /** A hub that accepted us once and may do so again, should DPS refuse. */
  readonly fallback?: Assignment;
}

export interface Online {
  readonly at: "online";
  readonly identity: Identity;
  readonly assignment: Assignment;
  /** The hub that accepted us last, where `assignment` has yet to prove itself. */
  readonly fallback?: Assignment;
  readonly owedDps?: OwedDps;
}

/** Set when DPS has to be asked again: then the session is left for it. */
interface OwedDps {
  /** Agent time. */
  readonly atMs: number;
  readonly because: string;
  readonly claim: Claim;
}

/**
 * How much it takes until DPS need not be asked any more: `standing` its answer; `once` its answer, be it a refusal, because a
 * person wished to ask; `until-accepted` also the hub at hand that serves after all.
 */
export type Claim = "standing" | "once" | "until-accepted";
