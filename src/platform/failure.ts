/**
 * What the agent can do about a failure. Decided by the adapter that saw it, from codes and never from message text.
 *
 * `retry` the same step after a back-off; `reprovision` ask DPS again; `reidentify` open the key again;
 * `operator` a person must act, so probe slowly; `stop` end the process (configuration faults).
 */
export type Remedy = "retry" | "reprovision" | "reidentify" | "operator" | "stop";

interface FailureOptions {
  readonly cause?: unknown;
  /** The other side's own wish: not earlier than this, in milliseconds. A floor that no back-off cap lowers. */
  readonly retryAfterMs?: number;
}

/**
 * The one error class of the house. Anything else that is thrown is a bug.
 *
 * `code` is stable and reads `room/fact` (`provisioning/unauthorized`); the README lists every one.
 * The message is for a person: what happened, what was expected, how to mend it; never a secret.
 */
export class AgentError extends Error {
  override readonly name = "AgentError";
  readonly code: string;
  readonly remedy: Remedy;
  readonly retryAfterMs: number | undefined;

  constructor(code: string, remedy: Remedy, message: string, options: FailureOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.remedy = remedy;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** The system's own code of an error (`ENOENT`, `ECONNREFUSED`), or "" where there is none. */
export function systemCode(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}
