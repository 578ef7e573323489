import { expect, test } from "vitest";
import { SigningTime } from "../../src/platform/signing-time.ts";
import { ManualClock } from "../manual-clock.ts";

const hour = 60 * 60_000;

test("a server's time that is two minutes away or less changes nothing", () => {
  const clock = new ManualClock(1_000_000);
  const time = new SigningTime(clock);
  time.learn(1_000_000 + 2 * 60_000);
  expect(time.offsetMs).toBe(0);
  expect(time.now()).toBe(1_000_000);
  time.learn(1_000_000 - 2 * 60_000);
  expect(time.now()).toBe(1_000_000);
});

test("a wall clock that is hours off is replaced by the server's time, which goes on with the monotonic clock", () => {
  const clock = new ManualClock(1_000_000);
  const time = new SigningTime(clock);
  time.learn(1_000_000 + 3 * hour);
  expect(time.offsetMs).toBe(3 * hour);
  clock.advance(500);
  expect(time.now()).toBe(1_000_500 + 3 * hour);
});

test("a wall clock that is set right serves again, without anybody saying so", () => {
  const clock = new ManualClock(1_000_000);
  const time = new SigningTime(clock);
  time.learn(1_000_000 + 3 * hour);
  clock.jump(3 * hour);
  expect(time.offsetMs).toBe(0);
  expect(time.now()).toBe(clock.now());
});

test("what was learnt before a jump is forgotten, because a machine that slept counts no monotonic time", () => {
  const clock = new ManualClock(1_000_000);
  const time = new SigningTime(clock);
  expect(time.isMeasured).toBe(false);
  time.learn(1_000_000 + 3 * hour);
  expect(time.isMeasured).toBe(true);
  time.forget();
  expect(time.isMeasured).toBe(false);
  expect(time.now()).toBe(1_000_000);
});
