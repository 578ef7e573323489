import { expect, test } from "vitest";
import type { ServiceManager } from "../../src/platform/service-manager.ts";
import { systemClock } from "../../src/platform/time.ts";
import { startWatchdog } from "../../src/platform/watchdog.ts";
import { ManualClock } from "../manual-clock.ts";
import { activeResources } from "./active-resources.ts";
import { RecordingLog } from "./recording-log.ts";

const nothing = () => {};
const never = new AbortController().signal;

/** Counts the feedings; everything else of a service manager is not asked for. */
class Feeder implements ServiceManager {
  readonly watchdogMs: number | undefined;
  fed = 0;
  readonly ready = nothing;
  readonly status = nothing;
  readonly reloading = nothing;
  readonly stopping = nothing;
  readonly extendStart = nothing;
  #wake = Promise.withResolvers<undefined>();

  constructor(watchdogMs: number | undefined) {
    this.watchdogMs = watchdogMs;
  }

  watchdog(): void {
    this.fed += 1;
    this.#wake.resolve(undefined);
    this.#wake = Promise.withResolvers();
  }

  async settled(): Promise<void> {}

  async untilFed(times: number): Promise<void> {
    const target = this.fed + times;
    while (this.fed < target) await this.#wake.promise;
  }
}

test("a journey that broke its promise is not fed any more, and the log says so once", async () => {
  const feeder = new Feeder(10);
  const clock = new ManualClock();
  const recording = new RecordingLog();
  using watchdog = startWatchdog(feeder, clock, recording.log);
  watchdog.expect(1_000);
  await feeder.untilFed(2);
  clock.advance(1_500);
  await recording.until("agent.stuck");
  const { fed } = feeder;
  // Several intervals, in which a watchdog that feeds by the timer alone would feed.
  await systemClock.sleep(50, never);
  expect(feeder.fed).toBe(fed);
  expect(recording.events).toMatchObject([{ level: "error", event: "agent.stuck", overdueMs: 500 }]);
});

test("a journey that keeps its promise is fed, and a late sign of life brings the feeding back", async () => {
  const feeder = new Feeder(10);
  const clock = new ManualClock();
  const recording = new RecordingLog();
  using watchdog = startWatchdog(feeder, clock, recording.log);
  watchdog.expect(1_000);
  clock.advance(1_000);
  await feeder.untilFed(1);
  clock.advance(1);
  await recording.until("agent.stuck");
  watchdog.expect(1_000);
  await feeder.untilFed(3);
  expect(recording.names()).toEqual(["agent.stuck"]);
});

test("before the first promise there is nothing to break", async () => {
  const feeder = new Feeder(10);
  const clock = new ManualClock();
  using watchdog = startWatchdog(feeder, clock, new RecordingLog().log);
  clock.advance(86_400_000);
  await feeder.untilFed(1);
  watchdog.expect(1_000);
  expect(feeder.fed).toBeGreaterThan(0);
});

test("it is fed twice in its interval", async () => {
  const feeder = new Feeder(200);
  using watchdog = startWatchdog(feeder, new ManualClock(), new RecordingLog().log);
  watchdog.expect(1_000);
  const before = systemClock.monotonic();
  await feeder.untilFed(2);
  expect(systemClock.monotonic() - before).toBeGreaterThanOrEqual(190);
});

test.each([
  ["where the watchdog is off", undefined],
  ["after it was disposed of", 10],
])("%s no timer runs", async (_, watchdogMs) => {
  const before = activeResources("Timeout");
  const feeder = new Feeder(watchdogMs);
  const watchdog = startWatchdog(feeder, new ManualClock(), new RecordingLog().log);
  expect(activeResources("Timeout")).toBe(watchdogMs === undefined ? before : before + 1);
  watchdog[Symbol.dispose]();
  expect(activeResources("Timeout")).toBe(before);
});
