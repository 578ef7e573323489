import { isDeepStrictEqual } from "node:util";
import type { PropertyName } from "../appliers/targets.ts";
import type { Session } from "../hub/session.ts";
import { AgentError } from "../platform/failure.ts";
import { isJsonObject, ownMember, type Json } from "../platform/json.ts";
import { applyDesiredPatch, type Desired } from "../twin/desired.ts";

/** The newest desired document, or undefined where something is missing in between. */
export function mergePatches(desired: Desired, patches: readonly unknown[]): Desired | undefined {
  let current = desired;
  for (const patch of patches) {
    const result = applyDesiredPatch(current, patch);
    if (result.status === "gap" || result.status === "malformed") return undefined;
    if (result.status === "applied") current = result.desired;
  }
  return current;
}

/** What came of listening: a newer document, or that one was missed, or nothing. */
export type Newer =
  | { readonly status: "none" }
  | { readonly status: "newer"; readonly desired: Desired }
  | { readonly status: "missed" };

/** Listens for newer desired documents while an older one is being applied, and calls off what they want otherwise. */
export class NewerDesired {
  readonly #over = new AbortController();
  readonly #listening: Promise<void>;
  readonly #underWay: {
    readonly name: PropertyName;
    readonly value: Json;
    readonly stop: AbortController;
  }[] = [];
  #newer: Newer = { status: "none" };

  constructor(session: Session, desired: Desired) {
    this.#listening = this.#listen(session, desired);
  }

  /** Aborted once a newer document wants something else for this property. */
  readonly superseded = (name: PropertyName, value: Json): AbortSignal => {
    const stop = new AbortController();
    this.#underWay.push({ name, value, stop });
    this.#callOff();
    return stop.signal;
  };

  /** Ends the listening. Patches that come from now on are for whoever listens next. */
  async stop(): Promise<Newer> {
    this.#over.abort(new Error("no longer listening"));
    await this.#listening;
    return this.#newer;
  }

  async #listen(session: Session, desired: Desired): Promise<void> {
    let current: Desired | undefined = desired;
    try {
      while (current !== undefined) {
        const before: Desired = current;
        current = mergePatches(before, await session.desiredPatches(this.#over.signal));
        if (current === undefined) this.#newer = { status: "missed" };
        else if (current.version > before.version) this.#newer = { status: "newer", desired: current };
        this.#callOff();
      }
    } catch (error) {
      // A session that is lost is found by whoever asks it next; what is under way is finished first.
      if (!this.#over.signal.aborted && !(error instanceof AgentError)) throw error;
    }
  }

  #callOff(): void {
    if (this.#newer.status !== "newer") return;
    const { desired } = this.#newer;
    for (const { name, value, stop } of this.#underWay) {
      if (!isDeepStrictEqual(wantedValue(desired, name), value))
        stop.abort(new Error("a newer value is wanted"));
    }
  }
}

function wantedValue({ properties }: Desired, { component, property }: PropertyName): Json | undefined {
  if (component === undefined) return ownMember(properties, property);
  const section = ownMember(properties, component);
  return isJsonObject(section) ? ownMember(section, property) : undefined;
}
