/** Why a signal was aborted, as an error that can be thrown. */
export function abortReason(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  return reason instanceof Error ? reason : new Error("aborted", { cause: reason });
}

/**
 * Waits for `work`, but no longer than until one of the signals is aborted; then rejects with that signal's reason.
 * The work itself goes on: whoever started it must end it. Leaves no listener behind.
 */
export async function untilAborted<T>(work: Promise<T>, ...signals: readonly AbortSignal[]): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (event: Event) => {
    if (event.target instanceof AbortSignal) reject(abortReason(event.target));
  };
  for (const signal of signals) {
    if (signal.aborted) reject(abortReason(signal));
    signal.addEventListener("abort", onAbort, { once: true });
  }
  try {
    return await Promise.race([work, promise]);
  } finally {
    for (const signal of signals) signal.removeEventListener("abort", onAbort);
  }
}

/** As `untilAborted`, and rejects with `late()` when the work takes longer than `ms`. */
export async function within<T>(
  ms: number,
  late: () => Error,
  work: Promise<T>,
  ...signals: readonly AbortSignal[]
): Promise<T> {
  const deadline = new AbortController();
  const timer = setTimeout(() => {
    deadline.abort(late());
  }, ms);
  try {
    return await untilAborted(work, deadline.signal, ...signals);
  } finally {
    clearTimeout(timer);
  }
}
