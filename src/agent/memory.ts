import type { Store } from "../platform/store.ts";
import type { Clock } from "../platform/time.ts";
import { AgentTime } from "./agent-time.ts";
import { blankHistory, type History } from "./history.ts";
import { essence, type StoredHistory } from "./stored-history.ts";

/** The history of this device, across restarts. Written when something of weight changed, and never while nothing happens. */
export class Memory {
  history: History;
  readonly #time: AgentTime;
  readonly #store: Store<StoredHistory>;
  #written: string;

  constructor(store: Store<StoredHistory>, clock: Clock) {
    const stored = store.read();
    this.history = stored?.history ?? blankHistory;
    this.#time = new AgentTime(clock, stored?.atMs);
    this.#written = essence(this.history);
    this.#store = store;
  }

  /** Agent time. */
  now(): number {
    return this.#time.now();
  }

  async save(): Promise<void> {
    const now = essence(this.history);
    if (now === this.#written) return;
    this.#written = now;
    await this.#store.write({ atMs: this.now(), history: this.history });
  }
}
