import type { Applier, Outcome, Step } from "../../src/appliers/applier.ts";
import { isJsonObject, type Json } from "../../src/platform/json.ts";

/** What the next execution does. `killed` stands for a process that dies half-way. */
export type Fate = "works" | "breaks-before" | "breaks-half-way" | "killed";

type FakeStep = Step & { readonly value: Json };

/** A device with one place per property, and appliers for it. A value has two halves, so that it can be left half applied. */
export class FakeDevice {
  readonly state = new Map<string, readonly [Json, Json]>();
  readonly executions: string[] = [];
  readonly withdrawn: string[] = [];
  readonly restored: string[] = [];
  readonly fates = new Map<string, Fate>();

  createApplier(
    property: string,
    options: {
      fingerprint?: string;
      isDurable?: boolean;
      confirmMs?: number;
      driftCheckMs?: number;
      isMended?: boolean;
    } = {},
  ): Applier<Json, FakeStep> {
    return {
      ...options,
      fingerprint: options.fingerprint ?? property,
      isDurable: options.isDurable ?? true,
      parse: async (value) =>
        isJsonObject(value)
          ? { status: "rejected", problems: [`${property}: no objects`] }
          : { status: "parsed", value },
      plan: (value) => [{ says: `set ${property}`, value }],
      execute: async (steps, signal) => this.#execute(property, steps, signal),
      keep: async () => ({ status: "kept", kept: this.state.get(property) ?? null }),
      restore: async (kept) => this.#restore(property, kept),
      findDrift: async ([step]) => {
        const halves = this.state.get(property) ?? [];
        return halves.every((half) => half === step?.value)
          ? []
          : [`${property} is ${JSON.stringify(halves)}`];
      },
      withdraw: async () => {
        this.withdrawn.push(property);
      },
    };
  }

  #restore(property: string, kept: Json): Outcome {
    this.restored.push(property);
    if (this.fates.get(property) === "breaks-before")
      return { status: "failed", code: "fake/broken", message: "cannot go back" };
    if (Array.isArray(kept)) this.state.set(property, [kept[0] ?? null, kept[1] ?? null]);
    else this.state.delete(property);
    return { status: "applied", changed: [property] };
  }

  async #execute(property: string, steps: readonly FakeStep[], signal: AbortSignal): Promise<Outcome> {
    signal.throwIfAborted();
    this.executions.push(property);
    const value = steps[0]?.value ?? null;
    const fate = this.fates.get(property) ?? "works";
    this.fates.delete(property);
    const before = this.state.get(property);
    if (fate === "breaks-before") return { status: "failed", code: "fake/broken", message: "before" };
    if (before?.every((half) => half === value) === true) return { status: "unchanged" };
    this.state.set(property, [value, before?.[1] ?? null]);
    if (fate === "killed") throw new Error("killed");
    if (fate === "breaks-half-way")
      return { status: "failed", code: "fake/broken", message: "half-way", changed: [property] };
    this.state.set(property, [value, value]);
    return { status: "applied", changed: [property] };
  }
}
