import { AgentError } from "./failure.ts";
import type { Store } from "./store.ts";

/** A store that goes on from memory while the disk does not take its value, and writes it as soon as the disk does. */
export class PatientStore<T> implements Store<T> {
  readonly #store: Store<T>;
  readonly #onChange: (trouble: AgentError | undefined) => void;
  #unwritten: { readonly value: T } | undefined;
  #trouble: AgentError | undefined;
  #queue: Promise<void> = Promise.resolve();

  /** @param onChange called with the first failure of a kind, and without one when everything is written again. */
  constructor(store: Store<T>, onChange: (trouble: AgentError | undefined) => void) {
    this.#store = store;
    this.#onChange = onChange;
  }

  /** What was last to be written, whether the disk has it or not. */
  read(): T | undefined {
    return this.#unwritten === undefined ? this.#store.read() : this.#unwritten.value;
  }

  /** Resolves when the value is on the disk or was refused by it: then it is kept in memory. Throws no AgentError. */
  async write(value: T): Promise<void> {
    this.#unwritten = { value };
    await this.retry();
  }

  /** Tries again what the disk refused; costs nothing where there is nothing. */
  async retry(): Promise<void> {
    // One after the other, so that an older value never lands on a newer one.
    this.#queue = this.#queue.then(async () => this.#flush());
    await this.#queue;
  }

  async #flush(): Promise<void> {
    const pending = this.#unwritten;
    if (pending === undefined) return;
    try {
      await this.#store.write(pending.value);
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      this.#note(error);
      return;
    }
    if (this.#unwritten === pending) this.#unwritten = undefined;
    this.#note(undefined);
  }

  #note(trouble: AgentError | undefined): void {
    const isNews = trouble?.message !== this.#trouble?.message;
    this.#trouble = trouble;
    if (isNews) this.#onChange(trouble);
  }
}
