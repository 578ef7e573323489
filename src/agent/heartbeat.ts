import type { Telemetry } from "../hub/session.ts";
import type { Clock } from "../platform/time.ts";

/** A message at regular times that says that the device lives. Off unless the configuration or the twin sets an interval. */
export class Heartbeat implements Disposable {
  readonly #clock: Clock;
  readonly #put: (message: Telemetry) => void;
  readonly #about: () => Readonly<Record<string, unknown>>;
  #configuredMs: number | undefined;
  #wishedMs: number | undefined;
  #beating: { readonly everyMs: number; readonly stop: AbortController } | undefined;

  /** @param about what a message tells beside its time. */
  constructor(
    clock: Clock,
    put: (message: Telemetry) => void,
    about: () => Readonly<Record<string, unknown>>,
  ) {
    this.#clock = clock;
    this.#put = put;
    this.#about = about;
  }

  /** What the local configuration says. */
  configure(everyMs: number | undefined): void {
    this.#configuredMs = everyMs;
    this.#update();
  }

  /** What the twin wishes; undefined where it wishes nothing. */
  wish(everyMs: number | undefined): void {
    this.#wishedMs = everyMs;
    this.#update();
  }

  #update(): void {
    const everyMs = this.#wishedMs ?? this.#configuredMs;
    if (everyMs === this.#beating?.everyMs) return;
    this.#beating?.stop.abort(new Error("another interval"));
    this.#beating = everyMs === undefined ? undefined : { everyMs, stop: new AbortController() };
    if (this.#beating !== undefined) void this.#beat(this.#beating.everyMs, this.#beating.stop.signal);
  }

  async #beat(everyMs: number, signal: AbortSignal): Promise<void> {
    for (;;) {
      this.#put({
        body: JSON.stringify({ at: new Date(this.#clock.now()).toISOString(), ...this.#about() }),
        contentType: "application/json",
        contentEncoding: "utf-8",
        properties: { kind: "heartbeat" },
      });
      try {
        await this.#clock.sleep(everyMs, signal);
      } catch {
        // Another interval, or the end.
        return;
      }
    }
  }

  [Symbol.dispose](): void {
    this.#beating?.stop.abort(new Error("the agent ends"));
    this.#beating = undefined;
  }
}
