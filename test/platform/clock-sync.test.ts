import { expect, test } from "vitest";
import { isClockSynchronised } from "../../src/platform/clock-sync.ts";

test("where nobody can be asked the answer is that nobody knows; elsewhere it is yes or no", async () => {
  const answer = await isClockSynchronised(new AbortController().signal);
  expect([true, false, undefined]).toContain(answer);
});

test("an abort ends the question with its reason", async () => {
  const reason = new Error("stop");
  await expect(isClockSynchronised(AbortSignal.abort(reason))).rejects.toBe(reason);
});
