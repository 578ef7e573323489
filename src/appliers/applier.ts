import type { Json } from "../platform/json.ts";

/** What became of one property. */
export type Outcome =
  /** The device was like that already. */
  | { readonly status: "unchanged" }
  /** `changed` names what was touched, for the log: `["/etc/site.toml", "ran /usr/bin/systemctl"]`. */
  | { readonly status: "applied"; readonly changed: readonly string[] }
  /** The value is not legal; nothing was touched. */
  | { readonly status: "rejected"; readonly problems: readonly string[] }
  /** The value is legal but could not be put in force. `changed` names what is different since, and was not put back. */
  | {
      readonly status: "failed";
      readonly code: string;
      readonly message: string;
      readonly changed?: readonly string[];
    };

export type Parsed<Value> =
  | { readonly status: "parsed"; readonly value: Value }
  | { readonly status: "rejected"; readonly problems: readonly string[] };

/** Plain data. `says` is for a person, in the imperative: `write /etc/site.toml`. */
export interface Step {
  readonly says: string;
}

/** What is known beside the value. */
export interface Circumstances {
  /** The desired version that is answered. */
  readonly version: number;
  /** The value in force so far; absent where nobody knows. */
  readonly previous?: Json;
}

/** What an applier kept of the device's state, so that it can bring it back. Plain data. */
export type Kept = { readonly status: "kept"; readonly kept: Json } | Extract<Outcome, { status: "failed" }>;

/**
 * Puts the value of one desired property in force: parse, plan, execute.
 *
 * Paths, commands and names come from the local config that made the applier, never from the value. The shape of `Value` is the
 * applier's own business, and so is what its steps hold beside `says`.
 */
export interface Applier<Value = unknown, S extends Step = Step> {
  /** Changes with the local rule behind the applier, so that a changed rule applies an unchanged value again. */
  readonly fingerprint: string;
  /** Whether what was applied outlives the process. If not, it is applied again at every chance: it must be cheap. */
  readonly isDurable: boolean;
  /** Touches nothing. The typed value, or all problems, each with its path. */
  parse(value: Json): Promise<Parsed<Value>>;
  /** Pure. What has to be done, in order. */
  plan(value: Value, circumstances: Circumstances): readonly S[];
  /**
   * Does the steps. Called twice with the same steps it ends in the same state. Trouble is an outcome;
   * @throws only when the signal is aborted.
   */
  execute(steps: readonly S[], signal: AbortSignal): Promise<Outcome>;
  /**
   * Set where a change counts only once the hub has been reached after it. When that does not happen within this time,
   * `restore` brings back what `keep` kept.
   */
  readonly confirmMs?: number;
  /** Keeps what is there now; touches nothing else. Called before `execute`, where `confirmMs` is set. */
  keep?(circumstances: Circumstances, signal: AbortSignal): Promise<Kept>;
  /**
   * Makes the device what it was when `kept` was kept. Called twice it ends in the same state. Trouble is an outcome;
   * @throws only when the signal is aborted.
   */
  restore?(kept: Json, circumstances: Circumstances, signal: AbortSignal): Promise<Outcome>;
  /** Set where somebody else's changes are looked for this often, and on request. */
  readonly driftCheckMs?: number;
  /** What of the device is no longer as the steps left it, each in a few words; touches nothing. */
  findDrift?(steps: readonly S[], signal: AbortSignal): Promise<readonly string[]>;
  /** Whether drift is mended, or only told. */
  readonly isMended?: boolean;
  /** Called when desired no longer has the property. Without it what was applied stays as it is. */
  withdraw?(signal: AbortSignal): Promise<void>;
}

/** Which applier serves which desired property. */
export interface Appliers {
  /** By top-level desired property. Properties that are not here are somebody else's. */
  readonly properties: ReadonlyMap<string, Applier>;
  /** By component, then setting (`{"latebind":{"__t":"c","logLevel":"debug"}}`). The whole component is ours: unknown settings are rejected. */
  readonly components: ReadonlyMap<string, ReadonlyMap<string, Applier>>;
}
