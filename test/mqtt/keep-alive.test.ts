import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { KeepAlive, type Silence } from "../../src/mqtt/keep-alive.ts";
import { ManualClock } from "../manual-clock.ts";

const minute = 60_000;
const keepAliveMs = 3 * minute;

/** A line without a network: it answers pings after a while, or never. */
class FakeLine {
  readonly clock = new ManualClock();
  readonly pings: number[] = [];
  readonly deaths: (Silence & { readonly at: number })[] = [];
  bytes = 0;
  onPing: () => void = () => {};
  readonly keepAlive: KeepAlive;

  constructor(keepAlive = keepAliveMs) {
    this.keepAlive = new KeepAlive({
      keepAliveMs: keepAlive,
      clock: this.clock,
      ping: () => {
        this.pings.push(this.clock.monotonic());
        this.keepAlive.sent();
        queueMicrotask(this.onPing);
      },
      bytesRead: () => this.bytes,
      onDead: (silence) => this.deaths.push({ ...silence, at: this.clock.monotonic() }),
    });
  }

  hear(): void {
    this.bytes += 2;
    this.keepAlive.received();
  }

  /** Lets time pass from one due sleeper to the next, so that nobody wakes up late. */
  async pass(ms: number): Promise<void> {
    const until = this.clock.monotonic() + ms;
    for (;;) {
      await turn();
      const next = this.clock.nextIn();
      if (next === undefined || this.clock.monotonic() + next > until) break;
      this.clock.advance(next);
    }
    this.clock.advance(until - this.clock.monotonic());
    await turn();
  }

  /** Time passes, and this process does nothing meanwhile: SIGSTOP, swap, a long computation. */
  async standStill(ms: number): Promise<void> {
    this.clock.advance(ms);
    await turn();
  }
}

let line: FakeLine;
beforeEach(() => {
  line = new FakeLine();
});
afterEach(() => {
  line.keepAlive[Symbol.dispose]();
});

describe("a dead line", () => {
  test.each([30_000, minute, keepAliveMs, 1_177_000])(
    "with a keep-alive of %i ms is noticed within 1.5 times that and 10 s",
    async (ms) => {
      const dying = new FakeLine(ms);
      await dying.pass(5_000);
      dying.hear();
      await dying.pass(1.5 * ms + 10_000);
      expect(dying.deaths).toHaveLength(1);
      expect(dying.pings).toHaveLength(1);
      expect(dying.deaths[0]?.at).toBeLessThanOrEqual(5_000 + 1.5 * ms + 10_000);
      expect(dying.clock.sleeping).toBe(0);
    },
  );

  test("is noticed although the agent goes on sending", async () => {
    for (let second = 0; second < 230; second += 10) {
      await line.pass(10_000);
      line.keepAlive.sent();
    }
    expect(line.deaths).toEqual([{ at: 210_000, silentMs: 210_000, answerMs: 30_000 }]);
  });

  test("is noticed within 5 s by a probe", async () => {
    await line.pass(minute);
    line.keepAlive.probe();
    await line.pass(4_999);
    expect(line.deaths).toEqual([]);
    await line.pass(1);
    expect(line.deaths).toEqual([{ at: 65_000, silentMs: 65_000, answerMs: 5_000 }]);
  });

  test("is noticed within 5 s by a probe that comes while an answer is awaited", async () => {
    await line.pass(keepAliveMs + 1_000);
    line.keepAlive.probe();
    await line.pass(5_000);
    expect(line.pings).toEqual([keepAliveMs, keepAliveMs + 1_000]);
    expect(line.deaths).toMatchObject([{ answerMs: 5_000 }]);
  });
});

describe("a line that lives", () => {
  test("is pinged once in a keep-alive, and wakes the process no oftener", async () => {
    line.onPing = () => line.hear();
    await line.pass(60 * minute);
    expect(line.pings).toEqual(Array.from({ length: 20 }, (_, index) => (index + 1) * keepAliveMs));
    // Each ping is one wake-up; the wait for its answer ends by the answer and not by a timer.
    expect(line.clock.asked.filter((ms) => ms < longestAnswer)).toEqual([]);
    expect(line.deaths).toEqual([]);
  });

  test("with traffic in both directions is not pinged", async () => {
    for (let second = 0; second < 3_600; second += 100) {
      await line.pass(100_000);
      line.keepAlive.sent();
      line.hear();
    }
    expect(line.pings).toEqual([]);
  });

  test("that only brings messages is pinged: the server wants to hear something", async () => {
    line.onPing = () => line.hear();
    for (let second = 0; second < 600; second += 100) {
      await line.pass(100_000);
      line.hear();
    }
    expect(line.pings).toEqual([keepAliveMs, 2 * keepAliveMs, 3 * keepAliveMs]);
  });

  test("and answers a ping after 29 s is no drop", async () => {
    line.onPing = () => {
      void line.clock.sleep(29_000, new AbortController().signal).then(() => line.hear());
    };
    await line.pass(20 * minute);
    expect(line.pings.length).toBeGreaterThan(4);
    expect(line.deaths).toEqual([]);
  });

  test("and is busy with a long packet is no drop", async () => {
    line.onPing = () => {
      line.bytes += 100;
    };
    await line.pass(keepAliveMs);
    for (let times = 0; times < 5; times += 1) {
      line.bytes += 100;
      await line.pass(25_000);
    }
    expect(line.deaths).toEqual([]);
    line.hear();
    await line.pass(30_000);
    expect(line.deaths).toEqual([]);
  });

  test("survives a probe", async () => {
    line.onPing = () => line.hear();
    await line.pass(minute);
    line.keepAlive.probe();
    await line.pass(keepAliveMs);
    expect(line.pings).toEqual([minute, minute + keepAliveMs]);
    expect(line.deaths).toEqual([]);
  });
});

describe("a stall of our own process", () => {
  test("while an answer is awaited is no drop, and is known afterwards", async () => {
    await line.pass(keepAliveMs);
    await line.standStill(10 * minute);
    expect(line.deaths).toEqual([]);
    line.onPing = () => line.hear();
    line.hear();
    await line.pass(minute);
    expect(line.deaths).toEqual([]);
    // The server waits for a word of ours since long: it is said at once.
    expect(line.pings).toEqual([keepAliveMs, keepAliveMs + 10 * minute]);
    expect(line.keepAlive.recentStallMs).toBe(10 * minute - 30_000);
  });

  test("is forgotten after two keep-alives", async () => {
    line.onPing = () => line.hear();
    await line.standStill(keepAliveMs + 20_000);
    expect(line.keepAlive.recentStallMs).toBe(20_000);
    await line.pass(2 * keepAliveMs + 1);
    expect(line.keepAlive.recentStallMs).toBe(0);
  });

  test("keeps no dead line alive", async () => {
    await line.pass(keepAliveMs);
    await line.standStill(10 * minute);
    await line.pass(30_000);
    expect(line.deaths).toHaveLength(1);
  });
});

test("a line that is closed leaves nothing behind", async () => {
  await line.pass(keepAliveMs);
  line.keepAlive[Symbol.dispose]();
  await turn();
  expect(line.clock.sleeping).toBe(0);
  await line.pass(60 * minute);
  expect(line.deaths).toEqual([]);
});

const longestAnswer = 30_000;
