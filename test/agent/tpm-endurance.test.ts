import { readdirSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock, type Clock } from "../../src/platform/time.ts";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { SoftTpm } from "../identity/soft-tpm.ts";
import { Gateway } from "./gateway.ts";
import { enrollTpm, registrations } from "./tpm-device.ts";

let soft: SoftTpm;
let cloud: Cloud;

beforeEach(async () => {
  soft = await SoftTpm.start();
  cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
});
afterEach(async () => {
  await cloud[Symbol.asyncDispose]();
  await soft[Symbol.asyncDispose]();
});

/** Clocks that agree with each other and run a thousand times as fast: what is asked for in a row the agent spreads over time. */
function racingClock(): Clock {
  const [wallMs, startedMs] = [systemClock.now(), systemClock.monotonic()];
  const monotonic = () => (systemClock.monotonic() - startedMs) * 1000;
  return {
    now: () => wallMs + monotonic(),
    monotonic,
    sleep: async (ms, signal) => systemClock.sleep(ms / 1000, signal),
  };
}

/** `.ci/run` sets it to 100, which takes a minute. */
const times = Number(process.env["LATEBIND_REGISTRATIONS"] ?? 25);

test(`${times} registrations in a row leave no handle, session or file behind`, async () => {
  await enrollTpm(cloud, soft);
  await using gateway = new Gateway(cloud, { tpm: soft, clock: racingClock() });
  await gateway.start();
  await gateway.connected();
  let files: readonly string[] = [];
  for (let done = 2; done <= times + 1; done += 1) {
    gateway.health.length = 0;
    gateway.inputs.tell({ kind: "reprovision", because: "the test" });
    await gateway.until(() => registrations(gateway) === done, `registration ${done}`, 30_000);
    await gateway.connected();
    // By then each thing that is kept has its two generations.
    if (done === 5) files = readdirSync(gateway.stateDirectory);
  }
  await gateway.stop();
  for (const kind of ["transient", "loaded-session", "saved-session"])
    expect(await soft.handles(kind)).toEqual([]);
  expect(await soft.handles("persistent")).toEqual(["0x81000001", "0x81010001"]);
  expect(soft.leftovers()).toEqual([]);
  expect(readdirSync(gateway.stateDirectory)).toEqual(files);
}, 400_000);
