import { once } from "node:events";
import type { Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { LineAct } from "./fault-spec.ts";

interface FaultLaneOptions {
  /** False when the other side is full. */
  readonly write: (bytes: Buffer) => boolean;
  /** Tells by `drain` when it has room again. */
  readonly sink?: Writable;
  /** A fault that strikes in the middle of the bytes. */
  readonly watch: (length: number) => { readonly after: number; readonly act: LineAct } | undefined;
  readonly strike: (act: LineAct) => void;
  readonly ended: AbortSignal;
}

/** One direction of a line: bytes go through in order, at the pace and for as long as faults allow. */
export class FaultLane {
  readonly #options: FaultLaneOptions;
  #queue: Promise<void> = Promise.resolve();
  #queuedBytes = 0;
  #isMute = false;
  #pace: { readonly bytes: number; readonly everyMs: number } | undefined;

  constructor(options: FaultLaneOptions) {
    this.#options = options;
  }

  /** Bytes that were sent but not yet written. */
  get backlog(): number {
    return this.#queuedBytes;
  }

  send(bytes: Buffer): void {
    if (this.#isMute) return;
    this.#queuedBytes += bytes.length;
    this.#enqueue(async () => {
      this.#queuedBytes -= bytes.length;
      await this.#pass(bytes);
    });
  }

  wait(delayMs: number): void {
    this.#enqueue(async () => this.#sleep(delayMs));
  }

  trickle(bytes: number, everyMs: number): void {
    this.#enqueue(async () => {
      this.#pace = { bytes, everyMs };
    });
  }

  /** What is on its way is lost too. */
  mute(): void {
    this.#isMute = true;
  }

  /** Runs when everything sent so far is written or lost. */
  afterwards(step: () => void): void {
    this.#enqueue(async () => step());
  }

  #enqueue(step: () => Promise<void>): void {
    this.#queue = this.#queue.then(step);
  }

  async #pass(bytes: Buffer): Promise<void> {
    if (this.#isMute) return;
    const fault = this.#options.watch(bytes.length);
    if (fault === undefined) {
      await this.#write(bytes);
      return;
    }
    const { after, act } = fault;
    await this.#write(bytes.subarray(0, after));
    if (act.act === "delay") await this.#sleep(act.delayMs);
    else if (act.act === "trickle") this.#pace = act;
    else {
      if (act.act === "drop") this.mute();
      this.#options.strike(act);
    }
    await this.#write(bytes.subarray(after));
  }

  async #write(bytes: Buffer): Promise<void> {
    const step = this.#pace?.bytes ?? bytes.length;
    for (let at = 0; at < bytes.length; at += step) {
      if (this.#isMute) return;
      if (at > 0) await this.#sleep(this.#pace?.everyMs ?? 0);
      if (this.#options.write(bytes.subarray(at, at + step))) continue;
      await this.#whenDrained();
    }
  }

  async #whenDrained(): Promise<void> {
    const { sink, ended } = this.#options;
    if (sink === undefined || ended.aborted) return;
    await once(sink, "drain", { signal: ended }).catch(() => {});
  }

  async #sleep(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#options.ended }).catch(() => {});
  }
}
