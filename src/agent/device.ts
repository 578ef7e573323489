import { isDeepStrictEqual } from "node:util";
import type { Appliers } from "../appliers/applier.ts";
import { reconcile, type Reconciled, type ReconcileInput } from "../appliers/reconcile.ts";
import { parseRemembered, type Remembered } from "../appliers/remembered.ts";
import { confirm, countStart, rollBack } from "../appliers/roll-back.ts";
import type { PropertyResult } from "../appliers/settle.ts";
import { keyOf, type PropertyName } from "../appliers/targets.ts";
import type { Random } from "../platform/backoff.ts";
import { isJsonObject, type Json } from "../platform/json.ts";
import type { Log } from "../platform/log.ts";
import type { Store } from "../platform/store.ts";
import type { Clock } from "../platform/time.ts";
import type { Desired } from "../twin/desired.ts";
import { DriftSchedule } from "./drift-schedule.ts";
import { Trials } from "./trials.ts";

/** What the device should be, and what is known to be in force: kept across restarts. */
export interface DeviceState {
  readonly desired: Desired;
  readonly remembered: Remembered;
}

export interface DeviceParts {
  readonly device: Store<DeviceState>;
  readonly appliers: Appliers;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** How one call of `apply` differs from the usual. */
export interface ApplyOptions extends Pick<ReconcileInput, "superseded" | "isForced"> {}

/** For how long changes are gathered that need not be on the disk at once. */
const keepSoonMs = 1_000;

/** The machine this agent looks after: brings it to a desired state and remembers. Does one thing at a time, whoever asks. */
export class Device {
  readonly #parts: DeviceParts;
  readonly #trials: Trials;
  readonly #drift: DriftSchedule;
  #state: DeviceState;
  #busy: Promise<unknown> = Promise.resolve();
  #isKeptSoon = false;

  constructor(parts: DeviceParts) {
    const { appliers, clock, random } = parts;
    this.#parts = parts;
    this.#trials = new Trials(appliers, clock);
    this.#drift = new DriftSchedule(appliers, clock, random);
    this.#state = parts.device.read() ?? { desired: { version: 0, properties: {} }, remembered: [] };
  }

  /**
   * Puts the last known desired state in force without any cloud: finishes what a power cut broke off, and undoes what did not let the
   * device reach its hub for several starts.
   */
  async restore(signal: AbortSignal): Promise<void> {
    if (Object.keys(this.#state.desired.properties).length === 0) return;
    // On the disk before anything is done with it: what takes the device down must not take the count along.
    await this.#keep({ ...this.#state, remembered: countStart(this.#state.remembered) });
    await this.rollBackDue(signal);
    await this.apply(this.#state.desired, signal);
  }

  /** Makes the device what `desired` says. Trouble is in the results, not thrown. */
  async apply(desired: Desired, signal: AbortSignal, options: ApplyOptions = {}): Promise<Reconciled> {
    return this.#inTurn(async () => this.#apply(desired, signal, options));
  }

  async #apply(desired: Desired, signal: AbortSignal, options: ApplyOptions): Promise<Reconciled> {
    const { appliers, log } = this.#parts;
    const before = lasting(this.#state);
    const reconciled = await reconcile(
      {
        ...options,
        desired,
        remembered: this.#state.remembered,
        appliers,
        // Known before anything is touched, so that a power cut in the middle is finished at the next start, offline too.
        prepare: async () => this.#keep({ desired, remembered: this.#state.remembered }),
        remember: async (remembered) => this.#keep({ desired, remembered }),
        isChecked: (name) => this.#isDriftDue(name),
      },
      signal,
    );
    const state = { desired, remembered: reconciled.remembered };
    if (isDeepStrictEqual(lasting(state), before)) this.#keepSoon(state, signal);
    else await this.#keep(state);
    for (const result of reconciled.results) this.#tell(result);
    if (reconciled.released.length > 0) {
      log.notice("twin.released", { properties: reconciled.released, version: desired.version });
    }
    return reconciled;
  }

  /** Until somebody else's changes are looked for again: `apply` does it. */
  driftInMs(): number {
    return this.#drift.nextInMs();
  }

  /** Until an answer of the hub would prove a change that is on trial. */
  probeInMs(): number {
    return this.#trials.probeInMs();
  }

  /** Until a change that is on trial has to be undone. */
  trialDueInMs(): number {
    return this.#trials.dueInMs();
  }

  async trialsChanged(): Promise<void> {
    await this.#trials.noted();
  }

  /** Changes count for good once the hub has answered what was asked after them. `askedAtMs` is monotonic. */
  async confirm(askedAtMs: number): Promise<void> {
    await this.#inTurn(async () => {
      const proven = this.#trials.provenBy(askedAtMs);
      if (proven.length === 0) return;
      await this.#keep({ ...this.#state, remembered: confirm(this.#state.remembered, proven) });
      for (const { entry } of proven)
        this.#parts.log.notice("twin.confirmed", { property: entry.property, version: entry.version });
    });
  }

  /**
   * Undoes the changes after which the hub was not reached in time.
   * @returns how many.
   */
  async rollBackDue(signal: AbortSignal): Promise<number> {
    return this.#inTurn(async () => {
      const due = this.#trials.due();
      for (const change of due) {
        const { entry, confirmMs } = change;
        const because = `the hub was not reached within ${Math.round(confirmMs / 1000)} s after the change`;
        const { result, remembered } = await rollBack(change, because, signal);
        this.#parts.log.error("twin.rolled-back", {
          property: entry.property,
          version: entry.version,
          because,
        });
        this.#tell(result);
        const others = this.#state.remembered.filter((other) => keyOf(other) !== keyOf(entry));
        if (remembered.trial !== undefined) this.#trials.postpone(change);
        await this.#keep({ ...this.#state, remembered: [...others, remembered] });
      }
      return due.length;
    });
  }

  #isDriftDue(name: PropertyName): boolean {
    const everyMs = this.#parts.appliers.properties.get(name.property)?.driftCheckMs;
    if (name.component !== undefined || everyMs === undefined || !this.#drift.isDue(name)) return false;
    this.#drift.noteChecked(name, everyMs);
    return true;
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#busy;
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.#busy = promise;
    await before;
    try {
      return await work();
    } finally {
      resolve(undefined);
    }
  }

  /** What a power cut may undo is not worth a write for each change: the twin tells it again. */
  #keepSoon(state: DeviceState, signal: AbortSignal): void {
    if (isDeepStrictEqual(state, this.#state)) return;
    this.#state = state;
    this.#trials.note(state.remembered);
    if (!this.#isKeptSoon) void this.#keepLater(signal);
  }

  async #keepLater(signal: AbortSignal): Promise<void> {
    this.#isKeptSoon = true;
    try {
      await this.#parts.clock.sleep(keepSoonMs, signal);
    } catch {
      // The agent ends: now or never.
    }
    this.#isKeptSoon = false;
    await this.#inTurn(async () => this.#parts.device.write(this.#state));
  }

  async #keep(state: DeviceState): Promise<void> {
    this.#state = state;
    this.#trials.note(state.remembered);
    await this.#parts.device.write(state);
  }

  #tell({ component, property, version, outcome, isFresh }: PropertyResult): void {
    if (!isFresh) return;
    const name = component === undefined ? property : `${component}.${property}`;
    switch (outcome.status) {
      case "applied":
        this.#parts.log.notice("twin.applied", { property: name, version, changed: outcome.changed });
        break;
      case "unchanged":
        this.#parts.log.info("twin.unchanged", { property: name, version });
        break;
      case "rejected":
        this.#parts.log.warning("twin.rejected", { property: name, version, problems: outcome.problems });
        break;
      case "failed":
        this.#parts.log.error("twin.failed", {
          property: name,
          version,
          code: outcome.code,
          message: outcome.message,
        });
        break;
    }
  }
}

/** What a power cut must not undo. Settings of the agent itself live in the process, and which version was answered last is the hub's. */
function lasting({ desired, remembered }: DeviceState) {
  return {
    properties: Object.fromEntries(
      Object.entries(desired.properties).filter(([name]) => name !== "latebind"),
    ),
    remembered: remembered
      .filter(({ component }) => component === undefined)
      .map(({ version: _version, ...entry }) => entry),
  };
}

/** Reads what the store kept; undefined where it does not fit: then everything is applied once more. */
export function parseDeviceState(value: Json): DeviceState | undefined {
  if (!isJsonObject(value) || !isJsonObject(value["desired"])) return undefined;
  const { version, properties } = value["desired"];
  if (typeof version !== "number" || !isJsonObject(properties)) return undefined;
  return { desired: { version, properties }, remembered: parseRemembered(value["remembered"]) };
}
