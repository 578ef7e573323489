import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { MethodCalls, type AnswerMethod } from "../../src/hub/methods.ts";
import type { Json } from "../../src/platform/json.ts";

const body = (text: string) => new TextEncoder().encode(text);

/** What left, in order. */
function hub(answer: AnswerMethod) {
  const sent: { rid: string; status: number; payload: Json }[] = [];
  const calls = new MethodCalls(answer, async (rid, status, payload) => {
    sent.push({ rid, status, payload });
  });
  return { sent, calls };
}

const echo: AnswerMethod = async ({ name, payload }) => ({
  status: 200,
  payload: { name, got: JSON.stringify(payload) },
});

test.each([
  ["no JSON", "{half", /not JSON/],
  ["a payload above 16 KiB", JSON.stringify("x".repeat(17_000)), /larger than 16 KiB/],
])("%s is answered 400 without a method being run", async (_, text, says) => {
  let ran = 0;
  const { sent, calls } = hub(async () => {
    ran += 1;
    return { status: 200, payload: null };
  });
  await calls.take("1", "ping", body(text));
  expect(sent).toMatchObject([{ rid: "1", status: 400 }]);
  expect(JSON.stringify(sent[0]?.payload)).toMatch(says);
  expect(ran).toBe(0);
});

test("an empty body is a call without payload", async () => {
  const { sent, calls } = hub(echo);
  await calls.take("a", "ping", body(""));
  expect(sent).toEqual([{ rid: "a", status: 200, payload: { name: "ping", got: "null" } }]);
});

test("row 59: more calls than run at a time are answered 429 at once, with a body, and the others are not harmed", async () => {
  const gate = Promise.withResolvers<undefined>();
  const { sent, calls } = hub(async () => {
    await gate.promise;
    return { status: 200, payload: "done" };
  });
  const running = [1, 2, 3, 4].map(async (rid) => calls.take(String(rid), "slow", body("")));
  await calls.take("5", "slow", body(""));
  expect(sent).toEqual([
    { rid: "5", status: 429, payload: { error: expect.stringMatching(/4 methods/) as unknown } },
  ]);
  gate.resolve(undefined);
  await Promise.all(running);
  expect(sent.slice(1).map(({ rid, status }) => [rid, status])).toEqual([
    ["1", 200],
    ["2", 200],
    ["3", 200],
    ["4", 200],
  ]);
});

test("what has to follow an answer follows it, and does not come before", async () => {
  const order: string[] = [];
  const calls = new MethodCalls(
    async () => ({ status: 202, payload: null, afterwards: () => order.push("afterwards") }),
    async () => {
      order.push("sent");
    },
  );
  await calls.take("1", "restart", body(""));
  expect(order).toEqual(["sent", "afterwards"]);
});

describe("case 61: a method that never answers", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test("is answered 504 after 30 s, frees its place, and its late answer completes nobody's call", async () => {
    const late = Promise.withResolvers<undefined>();
    const aborted: boolean[] = [];
    const { sent, calls } = hub(async ({ name }, signal) => {
      if (name === "quick") return { status: 200, payload: "quick" };
      signal.addEventListener("abort", () => aborted.push(true));
      await late.promise;
      return { status: 200, payload: "late" };
    });
    const stuck = ["1", "2", "3", "4"].map(async (rid) => calls.take(rid, "stuck", body("")));
    await vi.advanceTimersByTimeAsync(29_999);
    expect(sent).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    await Promise.all(stuck);
    expect(sent.map(({ status }) => status)).toEqual([504, 504, 504, 504]);
    expect(aborted).toHaveLength(4);

    await calls.take("5", "quick", body(""));
    late.resolve(undefined);
    await vi.advanceTimersByTimeAsync(0);
    expect(sent.slice(4)).toEqual([{ rid: "5", status: 200, payload: "quick" }]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
