type Work = (signal: AbortSignal) => Promise<never>;

/**
 * Does several things at a time, each for ever. The first one that fails ends the others; they are waited for.
 * @throws what the first one threw; the signal's reason.
 */
export async function alongside(
  signal: AbortSignal,
  first: Work,
  ...others: readonly Work[]
): Promise<never> {
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  const watched = async (work: Work): Promise<never> => {
    try {
      return await work(either);
    } catch (error) {
      // Only the first one counts: a signal keeps its first reason.
      over.abort(error);
      throw error;
    }
  };
  const running = [watched(first), ...others.map(watched)] as const;
  await Promise.allSettled(running);
  over.signal.throwIfAborted();
  return running[0];
}
