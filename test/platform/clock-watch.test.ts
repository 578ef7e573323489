import { expect, test } from "vitest";
import { ClockWatch } from "../../src/platform/clock-watch.ts";
import { ManualClock } from "../manual-clock.ts";

const minute = 60_000;

interface Watched {
  readonly clock: ManualClock;
  readonly watch: ClockWatch;
  readonly jumps: number[];
}

function watched(): Watched {
  const clock = new ManualClock();
  const jumps: number[] = [];
  const watch = new ClockWatch(clock, (byMs) => {
    jumps.push(byMs);
  });
  return { clock, watch, jumps };
}

test("time that passes is no jump, and neither is what NTP slews", () => {
  const { clock, watch, jumps } = watched();
  clock.advance(30 * 24 * 60 * minute);
  expect(watch.look()).toBe(0);
  for (let step = 0; step < 100; step += 1) {
    clock.jump(90);
    expect(watch.look()).toBe(0);
  }
  expect(jumps).toEqual([]);
});

test("a clock that is set, forward or back, is told once with the distance", () => {
  const { clock, watch, jumps } = watched();
  clock.jump(60 * minute);
  expect(watch.look()).toBe(60 * minute);
  expect(watch.look()).toBe(0);
  clock.jump(-30 * minute);
  expect(watch.look()).toBe(-30 * minute);
  expect(jumps).toEqual([60 * minute, -30 * minute]);
});

test("it looks at the pace it was given, every 5 s while the clock is waited for, and calms down after the jump", async () => {
  const { clock, watch, jumps } = watched();
  const stop = new AbortController();
  const running = watch.run(3 * minute, async () => {}, stop.signal);
  await clock.someoneSleeps();
  expect(clock.nextIn()).toBe(3 * minute);

  watch.hurry();
  while (clock.nextIn() !== 5_000) await new Promise(setImmediate);
  clock.jump(60 * minute);
  clock.advance(5_000);
  while (clock.nextIn() !== 3 * minute) await new Promise(setImmediate);
  expect(jumps).toEqual([60 * minute]);

  watch.hurry();
  while (clock.nextIn() !== 5_000) await new Promise(setImmediate);
  watch.calm();
  clock.advance(5_000);
  while (clock.nextIn() !== 3 * minute) await new Promise(setImmediate);
  stop.abort(new Error("over"));
  await running;
  expect(clock.sleeping).toBe(0);
});
