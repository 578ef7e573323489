import { getEventListeners } from "node:events";
import { expect, test } from "vitest";
import { systemClock } from "../../src/platform/time.ts";

const reason = new Error("stop");

test("an abort ends a sleep with its reason and leaves no listener", async () => {
  const stop = new AbortController();
  const sleeping = systemClock.sleep(60_000, stop.signal);
  stop.abort(reason);
  await expect(sleeping).rejects.toBe(reason);
  expect(getEventListeners(stop.signal, "abort")).toEqual([]);
});

test("a signal that was aborted before lets nobody sleep", async () => {
  await expect(systemClock.sleep(0, AbortSignal.abort(reason))).rejects.toBe(reason);
});

test.each([2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER, Number.POSITIVE_INFINITY])(
  "a sleep of %f ms, longer than the system's timers go, does not end at once",
  async (ms) => {
    const stop = new AbortController();
    const sleeping = systemClock.sleep(ms, stop.signal).then(
      () => "it woke",
      (error: unknown) => error,
    );
    await systemClock.sleep(20, new AbortController().signal);
    stop.abort(reason);
    expect(await sleeping).toBe(reason);
  },
);

test("a sleep lasts as long as was asked by the monotonic clock", async () => {
  const before = systemClock.monotonic();
  await systemClock.sleep(30, new AbortController().signal);
  expect(systemClock.monotonic() - before).toBeGreaterThanOrEqual(29);
});
