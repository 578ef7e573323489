/** One figure that only grows, as Prometheus has it. */
export interface Count {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Names and values of labels come from the house, never from outside: their number stays small. */
export class Counters {
  readonly #counts = new Map<string, Count>();

  add(name: string, labels: Readonly<Record<string, string>> = {}): void {
    const key = JSON.stringify([name, labels]);
    this.#counts.set(key, { name, labels, value: (this.#counts.get(key)?.value ?? 0) + 1 });
  }

  list(): readonly Count[] {
    return [...this.#counts.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }
}
