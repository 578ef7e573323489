import type { Clock } from "../platform/time.ts";
import { Alarm } from "./alarm.ts";

/**
 * What may change the agent's prospects while it waits, the most far-reaching first.
 *
 * `restart` the journey starts over with the identity; `reprovision` DPS is asked now, once, with the present hub as the fallback;
 * `credential-changed` a key, certificate or trust bundle was exchanged; `clock-changed` the wall clock was set or synchronised;
 * `network-changed` another way leads out; `resumed` the machine slept; `apply-now` the desired document is to be applied again.
 */
const inputKinds = [
  "restart",
  "reprovision",
  "credential-changed",
  "clock-changed",
  "network-changed",
  "resumed",
  "apply-now",
] as const;

export type InputKind = (typeof inputKinds)[number];

export interface InputEvent {
  readonly kind: InputKind;
  /** Who or what tells it, for the journal: `a direct method`, `eth0 is up`. */
  readonly because?: string;
}

/** Between two inputs of one kind there is at least this, times how many were heeded within `windowMs`: 15 in 10 minutes at most. */
const spacingMs = 5_000;
const windowMs = 10 * 60_000;

/**
 * What the rest of the house tells the journey. An input ends one wait early; it makes no ladder shorter.
 *
 * Nothing that is told is lost while the journey is busy; what is told several times before it is heeded counts once, and inputs
 * that keep coming are heeded ever less often. One instance lives as long as the process.
 */
export class Inputs {
  readonly #clock: Clock;
  readonly #pending = new Map<InputKind, InputEvent>();
  readonly #heededAt = new Map<InputKind, readonly number[]>();
  #told = Promise.withResolvers<undefined>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  tell(event: InputEvent): void {
    this.#pending.set(event.kind, event);
    this.#told.resolve(undefined);
    this.#told = Promise.withResolvers();
  }

  /**
   * Waits for the next input of these kinds, and takes it; the most far-reaching one where there are several.
   * @param ms `Infinity` waits for inputs alone.
   * @returns undefined once `ms` are over.
   * @throws the signal's reason.
   */
  async within(
    ms: number,
    kinds: readonly InputKind[],
    signal: AbortSignal,
  ): Promise<InputEvent | undefined> {
    signal.throwIfAborted();
    using over = ms === Infinity ? undefined : new Alarm(this.#clock, ms);
    for (;;) {
      const nextInMs = this.#nextInMs(kinds);
      if (nextInMs <= 0) return this.#take(kinds);
      using ripe = nextInMs === Infinity ? undefined : new Alarm(this.#clock, nextInMs);
      await untilAny(
        this.#told.promise,
        [signal, over?.signal, ripe?.signal].filter((one) => one !== undefined),
      );
      signal.throwIfAborted();
      if (over?.signal.aborted === true) return undefined;
    }
  }

  /** What was told of these kinds up to now is answered by a step that begins now. */
  forget(kinds: readonly InputKind[]): void {
    for (const kind of kinds) this.#pending.delete(kind);
  }

  #nextInMs(kinds: readonly InputKind[]): number {
    const waits = kinds.filter((kind) => this.#pending.has(kind)).map((kind) => this.#ripeInMs(kind));
    return Math.min(Infinity, ...waits);
  }

  #ripeInMs(kind: InputKind): number {
    const heeded = this.#recent(kind);
    return (heeded.at(-1) ?? -Infinity) + spacingMs * heeded.length - this.#clock.monotonic();
  }

  #take(kinds: readonly InputKind[]): InputEvent | undefined {
    const kind = inputKinds.find(
      (one) => kinds.includes(one) && this.#pending.has(one) && this.#ripeInMs(one) <= 0,
    );
    if (kind === undefined) return undefined;
    const event = this.#pending.get(kind);
    this.#pending.delete(kind);
    this.#heededAt.set(kind, [...this.#recent(kind), this.#clock.monotonic()]);
    return event;
  }

  #recent(kind: InputKind): readonly number[] {
    const since = this.#clock.monotonic() - windowMs;
    return (this.#heededAt.get(kind) ?? []).filter((at) => at > since);
  }
}

/** Resolves with the promise or at the first abort, whatever the reason. Leaves no listener behind. */
async function untilAny(promise: Promise<unknown>, signals: readonly AbortSignal[]): Promise<void> {
  const aborted = Promise.withResolvers<undefined>();
  const onAbort = () => aborted.resolve(undefined);
  for (const signal of signals) {
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
  }
  try {
    await Promise.race([promise, aborted.promise]);
  } finally {
    for (const signal of signals) signal.removeEventListener("abort", onAbort);
  }
}
