import { describe, expect, test } from "vitest";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { Life, error, hour, minute, online } from "./decisions.ts";
import { Gateway } from "./gateway.ts";

const fleet = 300;

/** The same for the same seed: mulberry32. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d_2b_79_f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** When each of 300 agents knocks, from the moment that all of them lose the hub. Times in milliseconds. */
function knocks(until: number, code: string): readonly (readonly number[])[] {
  return Array.from({ length: fleet }, (_, index) => {
    const life = new Life(online(), seeded(index + 1));
    const at: number[] = [];
    while (life.nowMs < until) {
      life.fails(error("retry", undefined, code));
      if (life.nowMs < until) at.push(life.nowMs);
    }
    return at;
  });
}

function perSecond(all: readonly (readonly number[])[], seconds: number): readonly number[] {
  const counts = Array.from({ length: seconds }, () => 0);
  for (const ms of all.flat()) {
    const second = Math.floor(ms / 1_000);
    counts[second] = (counts[second] ?? 0) + 1;
  }
  return counts;
}

function histogram(counts: readonly number[], every: number): string {
  const rows: string[] = [];
  for (let from = 0; from < counts.length; from += every) {
    const part = counts.slice(from, from + every);
    const mean = part.reduce((sum, count) => sum + count, 0) / part.length;
    const most = Math.max(...part);
    rows.push(
      `${String(from).padStart(5)} s  mean ${mean.toFixed(1).padStart(5)}/s  most ${String(most).padStart(3)}/s  ${"#".repeat(Math.round(mean / 2))}`,
    );
  }
  return rows.join("\n");
}

describe("300 agents that lose their hub at one moment", () => {
  const lost = knocks(30 * minute, "mqtt/unreachable");
  const counts = perSecond(lost, 30 * 60);

  test("knock at a flat rate from the first second on", () => {
    console.log(`attempts per second of ${fleet} agents:\n${histogram(counts.slice(0, 60), 5)}`);
    console.log(`and later:\n${histogram(counts.slice(60), 120)}`);
    expect(Math.max(...counts)).toBeLessThanOrEqual(fleet / 4);
    const later = counts.slice(5 * 60);
    const mean = later.reduce((sum, count) => sum + count, 0) / later.length;
    expect(mean).toBeLessThan(fleet / 25);
    // Poisson: a mean of 10 with four standard deviations and a little more.
    expect(Math.max(...later)).toBeLessThanOrEqual(mean + 5 * Math.sqrt(mean));
  });

  test("are all heard: none knocks less than once in a minute, none more than three times as often as another", () => {
    const gaps = lost.flatMap((at) => at.slice(1).map((ms, index) => ms - (at[index] ?? 0)));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(minute);
    const tries = lost.map((at) => at.length);
    expect(Math.max(...tries)).toBeLessThan(3 * Math.min(...tries));
  });

  test("and that a busy hub takes back at 10 in a second are all back within minutes of the end of the outage", () => {
    const ends = 10 * minute;
    const back = new Map<number, number>();
    const taken: number[] = [];
    const lives = Array.from({ length: fleet }, (_, index) => new Life(online(), seeded(1_000 + index)));
    while (back.size < fleet) {
      const [life] = lives
        .filter((one) => !back.has(lives.indexOf(one)))
        .toSorted((one, other) => one.nowMs - other.nowMs);
      if (life === undefined) throw new Error("unreachable");
      const { nowMs } = life;
      const isOver = nowMs >= ends;
      const inThisSecond = taken.filter((at) => at > nowMs - 1_000).length;
      if (isOver && inThisSecond < 10) {
        taken.push(nowMs);
        back.set(lives.indexOf(life), nowMs - ends);
      } else life.fails(error("retry", undefined, isOver ? "hub/busy" : "mqtt/unreachable"));
    }
    const waits = [...back.values()].toSorted((one, other) => one - other);
    const seconds = (share: number) => Math.round((waits[Math.floor(share * (fleet - 1))] ?? 0) / 1_000);
    console.log(
      `back after the outage: half within ${seconds(0.5)} s, 95 % within ${seconds(0.95)} s, all within ${seconds(1)} s`,
    );
    expect(seconds(1)).toBeLessThan(4 * 60);
  });

  test("that were all refused by their hub do not ask DPS at one moment either", () => {
    const asked = Array.from({ length: fleet }, (_, index) => {
      const life = new Life(online(), seeded(5_000 + index));
      life.fails(error("reprovision"));
      life.fails(error("reprovision"));
      return life.nowMs;
    });
    expect(Math.max(...perSecond([asked], 61))).toBeLessThan(30);
  });

  test("come back from DPS that has been away for hours within ten minutes, and none is forgotten", () => {
    const returns = Array.from({ length: fleet }, (_, index) => {
      const life = new Life(
        { ...online(), at: "provisioning", because: "test", claim: "standing" },
        seeded(index),
      );
      while (life.nowMs < 6 * hour) life.fails(error("retry", undefined, "mqtt/unreachable"));
      return life.nowMs - 6 * hour;
    });
    expect(Math.max(...returns)).toBeLessThanOrEqual(2 * minute);
  });
});

/** Each agent is a whole one, with TLS and a state of its own. `npm run soak` takes the whole fleet, with the waits of the field. */
const isFull = process.env["SOAK"] === "full";
const real = isFull ? fleet : 20;
const outageMs = isFull ? 45_000 : 8_000;

test(`${real} real agents whose hub drops them all and is busy for a while are all back within a minute of its end`, async () => {
  await using cloud = await startCloud({ assigningAnswers: 0 });
  await using gateways = new AsyncDisposableStack();
  const all = Array.from({ length: real }, () =>
    gateways.use(new Gateway(cloud, isFull ? { random: Math.random } : {})),
  );
  for (const gateway of all) {
    const { registrationId, key } = gateway;
    cloud.levers.enrollments.put({ registrationId, primaryKey: key, hub: "test" });
    await gateway.start();
    await gateway.connected();
  }
  // Busy (CONNACK 3): unlike a closed port, it shows each attempt at the cloud.
  const busy = cloud.faults.add({
    endpoint: "test",
    when: { at: "packet", packet: "connect" },
    do: { act: "connack", returnCode: 3 },
    times: "always",
  });
  const lostAt = Date.now();
  for (const { registrationId } of all) cloud.levers.dropConnection("test", registrationId);
  await new Promise((resolve) => setTimeout(resolve, outageMs));
  const attempts = knocksSince(cloud, lostAt);
  cloud.faults.remove(busy.id);
  for (const gateway of all)
    await gateway.until(() => gateway.events("hub.connected").length === 2, "it is back", 120_000);

  const counts = perSecond([attempts], outageMs / 1_000);
  console.log(`attempts per second of ${real} real agents, as the cloud saw them:\n${histogram(counts, 5)}`);
  const backAfter = knocksSince(cloud, lostAt + outageMs).at(-1) ?? Infinity;
  console.log(`all back ${(backAfter / 1_000).toFixed(0)} s after the outage`);
  expect(attempts.length).toBeGreaterThan(real);
  // A quarter of the fleet in one second would be a wave. Waits that are drawn short for the test say nothing of it.
  expect(Math.max(...counts)).toBeLessThan(isFull ? real / 4 : 2 * real);
  expect(new Set(all.map((gateway) => gateway.failures().length > 0))).toEqual(new Set([true]));
  expect(backAfter).toBeLessThan(75_000);
}, 400_000);

/** Milliseconds after `fromMs` at which a device connected to the hub, or was told that it is busy. */
function knocksSince(cloud: Cloud, fromMs: number): readonly number[] {
  return cloud.journal
    .events()
    .filter(
      ({ kind, endpoint, atMs }) =>
        (kind === "connect" || kind === "fault") && endpoint === "test" && atMs >= fromMs,
    )
    .map(({ atMs }) => atMs - fromMs);
}
