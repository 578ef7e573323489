/** One thing that is wrong with the configuration, with everything a person needs to mend it. */
export interface Problem {
  readonly file: string;
  /** From 1; absent where the fault is something that is not there. */
  readonly line?: number;
  /** From 1; only for faults of TOML itself. */
  readonly column?: number;
  /** Dotted path with indices counted within its own file: `apply[0].mode`. Absent where the file as a whole is meant. */
  readonly key?: string;
  /** What was expected and what was found, without a full stop. Never the value of a secret. */
  readonly message: string;
  /** What to do about it, without a full stop. */
  readonly fix: string;
}

/** One line: `config.toml:12: apply[0].mode: expected …, found …. Fix: ….` */
export function formatProblem(problem: Problem): string {
  const { file, line, column, key, message, fix } = problem;
  const place = [file, line, column].filter((part) => part !== undefined).join(":");
  return `${place}: ${key === undefined ? "" : `${key}: `}${message}. Fix: ${fix}${fix.endsWith("?") ? "" : "."}`;
}
