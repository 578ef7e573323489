import { describe, expect, test } from "vitest";
import { register, type RegistrationTransport } from "../../src/provisioning/register.ts";
import type { Reply } from "../../src/provisioning/wire.ts";
import { failureOf } from "../failure-of.ts";
import { ManualClock } from "../manual-clock.ts";

const never = new AbortController().signal;
const minute = 60_000;

function reply(status: number, body: unknown, retryAfterMs?: number): Reply {
  const bytes = Buffer.from(JSON.stringify(body));
  return { status, body: bytes, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}

const assigning = (retryAfterMs?: number, operationId = "op-1") =>
  reply(202, { operationId, status: "assigning" }, retryAfterMs);
const assigned = reply(200, {
  operationId: "op-1",
  status: "assigned",
  registrationState: { status: "assigned", assignedHub: "hub.net", deviceId: "gw-1" },
});
const forgotten = reply(404, { errorCode: 404_203, message: "Operation not found." });

/** Says the prepared answers one after the other; the last one for ever. Remembers what it was asked. */
class Script implements RegistrationTransport {
  readonly asked: string[] = [];
  readonly #replies: readonly Reply[];

  constructor(...replies: readonly Reply[]) {
    this.#replies = replies;
  }

  async register(): Promise<Reply> {
    return this.#next("register");
  }

  async poll(operationId: string): Promise<Reply> {
    return this.#next(`poll ${operationId}`);
  }

  #next(what: string): Reply {
    this.asked.push(what);
    const found = this.#replies[this.asked.length - 1] ?? this.#replies.at(-1);
    if (found === undefined) throw new Error("a script needs a reply");
    return found;
  }
}

/** Lets the clock run whenever somebody sleeps, until the work has ended. */
async function untilDone<T>(clock: ManualClock, work: Promise<T>): Promise<T> {
  let isDone = false;
  const ended = work.finally(() => {
    isDone = true;
  });
  ended.catch(() => {});
  for (let step = 0; step < 2_000; step += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    if (isDone) return ended;
    clock.advance(clock.nextIn() ?? 0);
  }
  throw new Error("it never ended");
}

describe("polling", () => {
  test.each([
    ["what the service says", 7_000, 7_000],
    ["3 s where it says nothing", undefined, 3_000],
    ["2 s where it says 0: more would be throttled", 0, 2_000],
    ["2 s where it says 1", 1_000, 2_000],
    ["ten minutes where it says so", 10 * minute, 10 * minute],
  ])("waits %s", async (_, retryAfterMs, waitMs) => {
    const clock = new ManualClock();
    const script = new Script(assigning(retryAfterMs), assigning(retryAfterMs), assigned);
    const waits = retryAfterMs === 10 * minute ? [waitMs] : [waitMs, waitMs];
    const work = register(
      waits.length === 1 ? new Script(assigning(retryAfterMs), assigned) : script,
      clock,
      never,
    );
    expect(await untilDone(clock, work)).toMatchObject({ hub: "hub.net" });
    expect(clock.asked).toEqual(waits);
  });

  test("asks for the operation that the service named last", async () => {
    const clock = new ManualClock();
    const script = new Script(assigning(0, "one"), assigning(0, "two"), assigned);
    await untilDone(clock, register(script, clock, never));
    expect(script.asked).toEqual(["register", "poll one", "poll two"]);
  });

  test("an answer to the register call that is final already needs none", async () => {
    const clock = new ManualClock();
    const script = new Script(assigned);
    expect(await register(script, clock, never)).toMatchObject({ deviceId: "gw-1" });
    expect(script.asked).toEqual(["register"]);
    expect(clock.asked).toEqual([]);
  });

  test("ends with the abort's reason while it waits", async () => {
    const clock = new ManualClock();
    const stop = new AbortController();
    const script = new Script(assigning(60_000));
    const work = register(script, clock, stop.signal);
    await clock.someoneSleeps();
    const reason = new Error("stop");
    stop.abort(reason);
    await expect(work).rejects.toBe(reason);
    expect(script.asked).toEqual(["register"]);
    expect(clock.sleeping).toBe(0);
  });
});

describe("an operation that the service forgot", () => {
  test("is started once more", async () => {
    const clock = new ManualClock();
    const script = new Script(assigning(), forgotten, assigning(0, "op-2"), assigned);
    await untilDone(clock, register(script, clock, never));
    expect(script.asked).toEqual(["register", "poll op-1", "register", "poll op-2"]);
  });

  test("twice is left to the back-off", async () => {
    const clock = new ManualClock();
    const script = new Script(assigning(), forgotten, assigning(), forgotten);
    const error = await failureOf(untilDone(clock, register(script, clock, never)));
    expect(error).toMatchObject({ code: "provisioning/still-assigning", remedy: "retry" });
    expect(error.message).toMatch(/lost twice/);
    expect(script.asked.filter((what) => what === "register")).toHaveLength(2);
  });

  test("even when the register call itself says so, for ever", async () => {
    const clock = new ManualClock();
    const script = new Script(forgotten);
    expect((await failureOf(untilDone(clock, register(script, clock, never)))).code).toBe(
      "provisioning/still-assigning",
    );
    expect(script.asked).toHaveLength(2);
  });
});

describe("assigning for ever", () => {
  test("ends within 15 minutes", async () => {
    const clock = new ManualClock();
    const error = await failureOf(untilDone(clock, register(new Script(assigning()), clock, never)));
    expect(error).toMatchObject({ code: "provisioning/still-assigning", remedy: "retry" });
    expect(error.message).toMatch(/15 minutes/);
    expect(clock.monotonic()).toBeGreaterThan(14 * minute);
    expect(clock.monotonic()).toBeLessThanOrEqual(15 * minute);
  });

  test("a wish that reaches past that is not waited for with the line held open, but is a floor for the next try", async () => {
    const clock = new ManualClock();
    const error = await failureOf(
      untilDone(clock, register(new Script(assigning(60 * minute)), clock, never)),
    );
    expect(error).toMatchObject({ code: "provisioning/still-assigning", retryAfterMs: 60 * minute });
    expect(clock.monotonic()).toBe(0);
  });

  test("a jump of the wall clock neither ends nor lengthens it", async () => {
    const clock = new ManualClock();
    const script = new Script(assigning(), assigning(), assigned);
    const work = register(script, clock, never);
    await clock.someoneSleeps();
    clock.jump(365 * 24 * 60 * minute);
    expect(await untilDone(clock, work)).toMatchObject({ status: "assigned" });
  });
});

test("a refusal while polling is thrown as it is read", async () => {
  const clock = new ManualClock();
  const script = new Script(assigning(), reply(429, { errorCode: 429_001 }, 30_000));
  expect(await failureOf(untilDone(clock, register(script, clock, never)))).toMatchObject({
    code: "provisioning/throttled",
    retryAfterMs: 30_000,
  });
});
