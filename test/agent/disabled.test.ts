import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { ManualClock } from "../manual-clock.ts";
import { ByteCounter } from "./byte-counter.ts";
import { Gateway } from "./gateway.ts";
import { liveFor } from "./live-for.ts";

const hour = 60 * 60_000;
const day = 24 * hour;

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ assigningAnswers: 0 });
});

afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

function enroll(gateway: Gateway, enabled: boolean): void {
  const { registrationId, key } = gateway;
  const initialTwin = { desired: { site: { name: "Hall 7" } } };
  cloud.levers.enrollments.put({ registrationId, primaryKey: key, hub: "test", enabled, initialTwin });
}

function calls(gateway: Gateway, endpoint: string): number {
  return cloud.journal
    .events()
    .filter(
      (event) =>
        event.kind === "connect" && event.endpoint === endpoint && event.clientId === gateway.registrationId,
    ).length;
}

/** Every connection of this gateway goes through a counter, and `refusal_retry` is what it is in the field. */
async function counted(gateway: Gateway, counter: ByteCounter): Promise<void> {
  const port = await counter.listen([cloud.dps.host, cloud.hub("test").host], 8883);
  const file = join(gateway.folder, "etc", "config.toml");
  const text = readFileSync(file, "utf8")
    .replace(/^endpoint = .*$/m, (line) => `${line}\nport = ${port}`)
    .replace("[hub]", `[hub]\nport = ${port}`)
    .replace('refusal_retry = "1s"\n', "");
  writeFileSync(file, text);
}

test("24 hours on a device that was disabled before it ever connected: few calls, few bytes; enabled, it connects with the next probe", async () => {
  const clock = new ManualClock();
  await using counter = new ByteCounter();
  await using gateway = new Gateway(cloud, { clock, isClockSynchronised: true });
  await counted(gateway, counter);
  enroll(gateway, false);
  await gateway.start();
  await liveFor(day, gateway, clock);
  const asked = calls(gateway, "dps");
  console.log(`a disabled device in 24 h: ${asked} calls to DPS, ${counter.bytes} bytes on the wire`);
  expect(asked).toBeGreaterThanOrEqual(18);
  expect(asked).toBeLessThanOrEqual(60);
  expect(counter.bytes).toBeGreaterThan(asked * 2_000);
  expect(counter.bytes).toBeLessThanOrEqual(300_000);
  // What the budget reckons with is no less than the truth.
  expect(counter.bytes / counter.connections).toBeLessThan(7_500);

  enroll(gateway, true);
  const enabledAt = clock.monotonic();
  while (gateway.health.at(-1)?.at !== "connected" && clock.monotonic() - enabledAt < day)
    await liveFor(clock.nextIn() ?? 0, gateway, clock);
  // Half of the budget is spent by now, so probes are 72 to 86 minutes apart.
  expect(clock.monotonic() - enabledAt).toBeLessThanOrEqual(87 * 60_000);
  await gateway.connected();
}, 60_000);

test("24 hours on a device that its hub threw out and DPS has disabled: both are asked, and it stays cheap", async () => {
  const clock = new ManualClock();
  await using counter = new ByteCounter();
  await using gateway = new Gateway(cloud, { clock, isClockSynchronised: true });
  await counted(gateway, counter);
  enroll(gateway, true);
  await gateway.start();
  await gateway.connected();
  const before = { bytes: counter.bytes, asked: calls(gateway, "dps"), knocked: calls(gateway, "test") };
  enroll(gateway, false);
  cloud.levers.deleteDevice("test", gateway.registrationId);
  await gateway.until(() => gateway.health.at(-1)?.at === "waiting", "it was thrown out");
  await liveFor(day, gateway, clock);
  const [asked, knocked] = [calls(gateway, "dps") - before.asked, calls(gateway, "test") - before.knocked];
  const bytes = counter.bytes - before.bytes;
  console.log(
    `thrown out and disabled, in 24 h: ${asked} calls to DPS, ${knocked} to the hub, ${bytes} bytes`,
  );
  expect(asked).toBeGreaterThanOrEqual(15);
  expect(asked).toBeLessThanOrEqual(60);
  expect(bytes).toBeLessThanOrEqual(300_000);

  // At once on the operator's wish.
  enroll(gateway, true);
  gateway.inputs.tell({ kind: "reprovision" });
  await gateway.connected();
}, 60_000);

test("a process that is started over and over does not ask each time", async () => {
  const clock = new ManualClock();
  await using gateway = new Gateway(cloud, { clock, isClockSynchronised: true });
  enroll(gateway, false);
  for (let start = 0; start < 40; start += 1) {
    gateway.health.length = 0;
    await gateway.start();
    await gateway.until(
      () => ["waiting", "holding"].includes(gateway.health.at(-1)?.at ?? ""),
      "it knows what to wait for",
    );
    await gateway.stop();
    clock.advance(10_000);
  }
  expect(calls(gateway, "dps")).toBeGreaterThanOrEqual(3);
  expect(calls(gateway, "dps")).toBeLessThanOrEqual(8);

  enroll(gateway, true);
  gateway.health.length = 0;
  await gateway.start();
  await gateway.until(() => gateway.health.at(-1)?.at === "holding", "it waits");
  expect(gateway.lastHealth).toMatch(
    /DPS was asked often of late and last said provisioning\/disabled; next: ask DPS at .*, or at once: latebind reprovision/,
  );
  gateway.inputs.tell({ kind: "reprovision" });
  await gateway.connected();
}, 30_000);
