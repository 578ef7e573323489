import { untilAborted } from "../platform/abort.ts";
import type { Telemetry } from "../hub/session.ts";

/** Kept in memory only: telemetry is for now, and flash is for years. */
const mostMessages = 100;
const mostBytes = 256 * 1024;

/** Messages on their way to the cloud. While there is no line they wait; when there are too many, the oldest go. */
export class Outbox {
  #waiting: Telemetry[] = [];
  #bytes = 0;
  #dropped = 0;
  #sent = 0;
  #put = Promise.withResolvers<undefined>();

  get waiting(): number {
    return this.#waiting.length;
  }

  get dropped(): number {
    return this.#dropped;
  }

  get sent(): number {
    return this.#sent;
  }

  /** @returns how many older messages had to go for it. */
  put(message: Telemetry): number {
    this.#waiting.push(message);
    this.#bytes += weigh(message);
    let dropped = 0;
    while (this.#waiting.length > mostMessages || (this.#bytes > mostBytes && this.#waiting.length > 1)) {
      this.#bytes -= weigh(this.#waiting.shift());
      dropped += 1;
    }
    this.#dropped += dropped;
    this.#put.resolve(undefined);
    return dropped;
  }

  /** Waits for the oldest message, which stays until it is known to be sent. */
  async next(signal: AbortSignal): Promise<Telemetry> {
    for (;;) {
      const [oldest] = this.#waiting;
      if (oldest !== undefined) return oldest;
      this.#put = Promise.withResolvers();
      await untilAborted(this.#put.promise, signal);
    }
  }

  /** The hub has it. It may have been dropped meanwhile, which is no loss any more. */
  markSent(message: Telemetry): void {
    this.#sent += 1;
    if (this.#waiting[0] !== message) return;
    this.#waiting.shift();
    this.#bytes -= weigh(message);
  }
}

function weigh(message: Telemetry | undefined): number {
  if (message === undefined) return 0;
  const { body, properties, ...system } = message;
  const words = [body, ...Object.keys(properties), ...Object.values(properties), ...Object.values(system)];
  return words.reduce((sum, word) => sum + Buffer.byteLength(word), 0);
}
