/** Something that the demo shows did not happen. */
export class DemoFailure extends Error {
  readonly expected: string;
  /** What was there instead, line by line. */
  readonly found: readonly string[];

  constructor(expected: string, found: readonly string[], options?: ErrorOptions) {
    super(`expected: ${expected}`, options);
    this.expected = expected;
    this.found = found;
  }
}

/** Ctrl-C: nothing failed, but nothing is to be shown any more. */
export class Interrupted extends Error {}
