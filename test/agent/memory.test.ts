import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  leastGapMs,
  mostBytesPerDay,
  mostCallsPerDay,
  spend,
  startMayAskAtMs,
} from "../../src/agent/budget.ts";
import { countFailure } from "../../src/agent/count-failure.ts";
import { afterIdentified, blankHistory, hubHistory, type History } from "../../src/agent/history.ts";
import { readJournal } from "../../src/agent/journal.ts";
import { Memory } from "../../src/agent/memory.ts";
import { recover, resume } from "../../src/agent/recover.ts";
import { essence, parseHistory, type StoredHistory } from "../../src/agent/stored-history.ts";
import type { Store } from "../../src/platform/store.ts";
import { isJson } from "../../src/platform/json.ts";
import { startCloud } from "../cloud/cloud.ts";
import { ManualClock } from "../manual-clock.ts";
import { dpsWas, error, fail, hour, hubWas, Life, minute, on, online, provisioning } from "./decisions.ts";
import { Gateway } from "./gateway.ts";

const day = 24 * hour;

class MemoryStore implements Store<StoredHistory> {
  value: StoredHistory | undefined;
  writes = 0;

  read(): StoredHistory | undefined {
    return this.value;
  }

  async write(value: StoredHistory): Promise<void> {
    this.value = value;
    this.writes += 1;
  }
}

/** As a store would give it back. */
function reread(history: History): History {
  const json: unknown = JSON.parse(JSON.stringify({ atMs: 1, history }));
  const parsed = isJson(json) ? parseHistory(json) : undefined;
  if (parsed === undefined) throw new Error("it could not be read");
  return parsed.history;
}

describe("what a restart forgets", () => {
  test("is nothing of ladders, strikes and expenses", () => {
    const life = new Life(online(), () => 0.5);
    life.fails(error("reprovision"));
    life.fails(error("reprovision"));
    life.fails(error("operator", 5_000, "provisioning/disabled"));
    const { identityFailures: _, ...kept } = life.history;
    expect(reread(life.history)).toEqual({ identityFailures: 0, ...kept });
  });

  test("is a file that does not fit", () => {
    for (const value of [null, 1, [], {}, { atMs: 1 }, { atMs: 1, history: { dps: 1, hubs: {} } }])
      expect(parseHistory(value)).toBeUndefined();
  });

  test("not the first strike: the second one after a reboot leads to DPS", () => {
    const once = fail(online(), error("reprovision"), blankHistory, 0.5, 0);
    expect(fail(online(), error("reprovision"), reread(once.history), 0.5, 2 * minute).next.at).toBe(
      "provisioning",
    );
  });
});

describe("agent time", () => {
  test("stands still over a restart where the wall clock fell behind, and never runs backwards", () => {
    const store = new MemoryStore();
    store.value = { atMs: 1_000_000_000, history: blankHistory };
    const clock = new ManualClock(0);
    const memory = new Memory(store, clock);
    expect(memory.now()).toBe(1_000_000_000);
    clock.advance(5_000);
    clock.jump(50 * 365 * day);
    expect(memory.now()).toBe(1_000_005_000);
  });

  test("is the wall clock's where that is ahead", () => {
    const store = new MemoryStore();
    store.value = { atMs: 1_000, history: blankHistory };
    expect(new Memory(store, new ManualClock(7_000)).now()).toBe(7_000);
  });
});

describe("the memory", () => {
  test("writes nothing while nothing of weight changes: a day without a line costs some ten writes", async () => {
    const store = new MemoryStore();
    const memory = new Memory(store, new ManualClock(0));
    const lost = error("retry", undefined, "mqtt/unreachable");
    let attempts = 0;
    for (let nowMs = 0; nowMs < day; attempts += 1) {
      const moment = { nowMs, refusalRetryMs: 30_000, random: () => 0.5 };
      const counted = countFailure(memory.history, online(), lost, moment);
      const { history, delayMs } = recover(online(), lost, counted.history, moment);
      memory.history = history;
      await memory.save();
      nowMs += delayMs;
    }
    expect(attempts).toBeGreaterThan(2_000);
    expect(store.writes).toBeLessThan(15);
    expect(store.writes).toBeGreaterThan(5);
  });

  test("writes as little for a new device that waits a day for its network, though the failures change", async () => {
    const store = new MemoryStore();
    const memory = new Memory(store, new ManualClock(0));
    let attempts = 0;
    for (let nowMs = 0; nowMs < day; attempts += 1) {
      const away = error("retry", undefined, attempts % 2 === 0 ? "mqtt/unreachable" : "mqtt/name-not-found");
      const moment = { nowMs, refusalRetryMs: 30_000, random: () => 0.5 };
      const counted = countFailure(memory.history, provisioning(), away, moment);
      const { history, delayMs } = recover(provisioning(), away, counted.history, moment);
      memory.history = history;
      await memory.save();
      nowMs += delayMs;
    }
    expect(attempts).toBeGreaterThan(1_000);
    expect(store.writes).toBeLessThan(15);
  });

  test("tells a refusal from none", () => {
    const { history } = fail(online(), error("reprovision"), blankHistory);
    expect(essence(history)).not.toBe(essence(blankHistory));
  });
});

test("a device that is well writes two lines of journal at a start, and neither state nor journal after that", async () => {
  await using cloud = await startCloud({ assigningAnswers: 0 });
  const clock = new ManualClock();
  await using gateway = new Gateway(cloud, { clock });
  const { registrationId, key, stateDirectory } = gateway;
  cloud.levers.enrollments.put({ registrationId, primaryKey: key, hub: "test" });
  const files = () =>
    readdirSync(stateDirectory).map((name) => {
      const path = join(stateDirectory, name);
      return { name, text: name.startsWith("journal") ? "" : readFileSync(path, "utf8") };
    });
  await gateway.start();
  await gateway.connected();
  await gateway.stop();
  const [state, lines] = [files(), readJournal(stateDirectory).length];
  await gateway.start();
  await gateway.until(() => gateway.events("hub.connected").length === 2, "it is connected again");
  expect(readJournal(stateDirectory).slice(lines)).toMatchObject([
    { kind: "started" },
    { kind: "connected" },
  ]);
  for (let renewal = 3; renewal < 10; renewal += 1) {
    await gateway.until(() => gateway.health.at(-1)?.at === "connected", "it is connected");
    await clock.someoneSleeps();
    clock.advance(hour);
    await gateway.until(() => gateway.events("hub.connected").length === renewal, "the token was renewed");
  }
  await gateway.stop();
  expect(readJournal(stateDirectory)).toHaveLength(lines + 2);
  expect(files()).toEqual(state);
});

describe("a start", () => {
  const moment = { nowMs: day, refusalRetryMs: 30_000, random: () => 0 };
  const calls = (count: number, everyMs: number) =>
    Array.from({ length: count }, (_, index) => ({ atMs: day - (count - index) * everyMs, bytes: 7_500 }));

  test("with a hub connects at once, whatever the ladders say", () => {
    const worn = hubWas({ failures: 99, verdicts: 9, notBeforeMs: 2 * day });
    expect(resume(online(), worn, moment, false)).toEqual({ next: online(), delayMs: 0 });
  });

  test("asks DPS at once the first times, for whoever starts it may have mended something", () => {
    const held = dpsWas({ notBeforeMs: day + 6 * hour, spent: calls(3, minute) });
    expect(resume(provisioning(), held, moment, false).delayMs).toBe(0);
  });

  test("again and again waits ever longer, and goes by the ladder once half of the budget is spent", () => {
    const often = dpsWas({ notBeforeMs: day + 6 * hour, spent: calls(8, minute) });
    expect(resume(provisioning(), often, moment, false).delayMs).toBe(4 * minute);
    const spent = dpsWas({ notBeforeMs: day + 6 * hour, spent: calls(30, minute) });
    expect(resume(provisioning(), spent, moment, false).delayMs).toBe(6 * hour);
  });

  test("does not come before the time that DPS named", () => {
    const asked = dpsWas({ floorMs: day + hour, notBeforeMs: day + hour, spent: calls(1, hour) });
    expect(resume(provisioning(), asked, moment, false).delayMs).toBe(hour);
  });

  test("that has to wait for DPS lets the old hub serve meanwhile", () => {
    const spent = dpsWas({ notBeforeMs: day + 6 * hour, spent: calls(30, minute) });
    expect(resume(provisioning(on("old.net")), spent, moment, false).next).toMatchObject({
      at: "online",
      assignment: on("old.net"),
      owedDps: { atMs: day + 6 * hour },
    });
  });

  test("with another scope or credential has fresh ladders, but not a fresh budget", () => {
    const worn = { ...dpsWas({ failures: 9, notBeforeMs: 9 * day, spent: calls(30, minute) }), about: "one" };
    expect(afterIdentified(worn, "one")).toMatchObject({ dps: { failures: 9, notBeforeMs: 9 * day } });
    const fresh = afterIdentified(worn, "other");
    expect(fresh.dps).toEqual({ failures: 0, answers: 0, spent: calls(30, minute) });
    expect(hubHistory(fresh, "hub.net").verdicts).toBe(0);
    expect(resume(provisioning(), fresh, moment, true).delayMs).toBeLessThan(30 * minute);
  });
});

describe("the budget", () => {
  test("leaves no day with more than 60 calls or 300 kB, however eager, and comes to no dead stop", () => {
    const bytes = 7_500;
    let spent = blankHistory.dps.spent;
    const calls: number[] = [];
    for (let nowMs = 0; nowMs < 4 * day;) {
      spent = spend(spent, nowMs, bytes);
      calls.push(nowMs);
      nowMs += Math.max(1_000, leastGapMs(spent, nowMs));
    }
    for (const from of calls) {
      const within = calls.filter((at) => at >= from && at < from + day).length;
      expect(within).toBeLessThanOrEqual(mostCallsPerDay);
      expect(within * bytes).toBeLessThanOrEqual(mostBytesPerDay);
    }
    const gaps = calls.slice(1).map((at, index) => at - (calls[index] ?? 0));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(75 * minute);
  });

  test("is not touched by calls that reached nobody", () => {
    const life = new Life(provisioning(), () => 0.5);
    for (let count = 0; count < 500; count += 1) life.fails(error("retry", undefined, "mqtt/unreachable"));
    expect(leastGapMs(life.history.dps.spent, life.nowMs)).toBe(0);
    expect(startMayAskAtMs(life.history.dps.spent, life.nowMs)).toBe(life.nowMs);
  });
});
