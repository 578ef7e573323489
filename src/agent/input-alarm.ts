import type { InputEvent, InputKind, Inputs } from "./inputs.ts";

/** A signal that is aborted after a time or at the first input of these kinds, unless disposed of before. */
export class InputAlarm {
  readonly #ring = new AbortController();
  readonly #cancel = new AbortController();
  #input: InputEvent | undefined;

  constructor(inputs: Inputs, afterMs: number, kinds: readonly InputKind[]) {
    void this.#wait(inputs, afterMs, kinds);
  }

  async #wait(inputs: Inputs, afterMs: number, kinds: readonly InputKind[]): Promise<void> {
    try {
      this.#input = await inputs.within(afterMs, kinds, this.#cancel.signal);
      this.#ring.abort(new Error("the alarm rang"));
    } catch {
      // Disposed of: nobody listens any more.
    }
  }

  get signal(): AbortSignal {
    return this.#ring.signal;
  }

  /** What made it ring; undefined where that was the time, or while it has not rung. Taken from the inputs by then. */
  get input(): InputEvent | undefined {
    return this.#input;
  }

  [Symbol.dispose](): void {
    this.#cancel.abort(new Error("the alarm is no longer needed"));
  }
}
