import { isDeepStrictEqual } from "node:util";
import type { Appliers } from "../appliers/applier.ts";
import { reconcile, type PropertyResult, type Reconciled } from "../appliers/reconcile.ts";
import { parseRemembered, type Remembered } from "../appliers/remembered.ts";
import { isJsonObject, type Json } from "../platform/json.ts";
import type { Log } from "../platform/log.ts";
import type { Store } from "../platform/store.ts";
import type { Desired } from "../twin/desired.ts";

/** What the device should be, and what is known to be in force: kept across restarts. */
export interface DeviceState {
  readonly desired: Desired;
  readonly remembered: Remembered;
}

/** The machine this agent looks after: brings it to a desired state and remembers. */
export class Device {
  readonly #store: Store<DeviceState>;
  readonly #appliers: Appliers;
  readonly #log: Log;
  #state: DeviceState;

  constructor(store: Store<DeviceState>, appliers: Appliers, log: Log) {
    this.#store = store;
    this.#appliers = appliers;
    this.#log = log;
    this.#state = store.read() ?? { desired: { version: 0, properties: {} }, remembered: [] };
  }

  /** Puts the last known desired state in force without any cloud: finishes what a power cut broke off. */
  async restore(signal: AbortSignal): Promise<void> {
    if (Object.keys(this.#state.desired.properties).length === 0) return;
    await this.apply(this.#state.desired, signal);
  }

  /** Makes the device what `desired` says. Trouble is in the results, not thrown. */
  async apply(desired: Desired, signal: AbortSignal): Promise<Reconciled> {
    // Known before anything is touched, so that a power cut in the middle is finished at the next start, offline too.
    if (!isDeepStrictEqual(desired.properties, this.#state.desired.properties)) {
      await this.#keep({ desired, remembered: this.#state.remembered });
    }
    const reconciled = await reconcile(
      {
        desired,
        remembered: this.#state.remembered,
        appliers: this.#appliers,
        remember: async (remembered) => this.#keep({ desired, remembered }),
      },
      signal,
    );
    await this.#keep({ desired, remembered: reconciled.remembered });
    for (const result of reconciled.results) this.#tell(result);
    if (reconciled.released.length > 0) {
      this.#log.notice("twin.released", { properties: reconciled.released, version: desired.version });
    }
    return reconciled;
  }

  async #keep(state: DeviceState): Promise<void> {
    this.#state = state;
    await this.#store.write(state);
  }

  #tell({ component, property, version, outcome, isFresh }: PropertyResult): void {
    if (!isFresh) return;
    const name = component === undefined ? property : `${component}.${property}`;
    switch (outcome.status) {
      case "applied":
        this.#log.notice("twin.applied", { property: name, version, changed: outcome.changed });
        break;
      case "unchanged":
        this.#log.info("twin.unchanged", { property: name, version });
        break;
      case "rejected":
        this.#log.warning("twin.rejected", { property: name, version, problems: outcome.problems });
        break;
      case "failed":
        this.#log.error("twin.failed", {
          property: name,
          version,
          code: outcome.code,
          message: outcome.message,
        });
        break;
    }
  }
}

/** Reads what the store kept; undefined where it does not fit: then everything is applied once more. */
export function parseDeviceState(value: Json): DeviceState | undefined {
  if (!isJsonObject(value) || !isJsonObject(value["desired"])) return undefined;
  const { version, properties } = value["desired"];
  if (typeof version !== "number" || !isJsonObject(properties)) return undefined;
  return { desired: { version, properties }, remembered: parseRemembered(value["remembered"]) };
}
