import type { Identity } from "../identity/identity.ts";
import type { Assignment } from "../provisioning/assignment.ts";

/** Where the agent is, with the facts gathered so far. Plain data: log it, compare it. */
export type Phase =
  | {
      readonly at: "identifying";
      /** Set when DPS is to be asked whatever is stored. */
      readonly askDpsBecause?: string;
    }
  | {
      readonly at: "provisioning";
      readonly identity: Identity;
      /** Why DPS is asked, for the log and the status. */
      readonly because: string;
      /** A hub that accepted us once and may do so again, should DPS refuse. */
      readonly fallback?: Assignment;
    }
  | {
      readonly at: "online";
      readonly identity: Identity;
      readonly assignment: Assignment;
      /** The hub that accepted us last, where `assignment` has yet to prove itself. */
      readonly fallback?: Assignment;
      /** Set when DPS has to be asked again though this hub serves: then (monotonic clock) the session is left for it. */
      readonly askDpsAtMs?: number;
    };
