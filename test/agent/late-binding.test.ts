import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { ManualClock } from "../manual-clock.ts";
import { Gateway } from "./gateway.ts";

async function connected(cloud: Cloud, clock: ManualClock): Promise<Gateway> {
  const gateway = new Gateway(cloud, { clock, isClockSynchronised: true });
  const file = join(gateway.folder, "etc", "config.toml");
  writeFileSync(file, readFileSync(file, "utf8").replace('refusal_retry = "1s"\n', ""));
  const { registrationId, key } = gateway;
  const initialTwin = { desired: { site: { name: "Hall 7" } } };
  cloud.levers.enrollments.put({ registrationId, primaryKey: key, hub: "test", initialTwin });
  await gateway.start();
  await gateway.connected();
  return gateway;
}

/** Lets the agent's waits pass, and says how long they were, until the condition holds. */
async function passUntil(clock: ManualClock, gateway: Gateway, done: () => boolean): Promise<number> {
  const startedAt = clock.monotonic();
  while (!done()) {
    const seen = gateway.health.length;
    if (gateway.health.at(-1)?.at === "waiting") {
      await clock.someoneSleeps();
      clock.advance(clock.nextIn() ?? 0);
    }
    await gateway.until(() => done() || gateway.health.length > seen, "something happened");
  }
  return clock.monotonic() - startedAt;
}

test("with the settings of the field, a device whose enrollment moved is on its new hub, twin applied, within 90 s of the first refusal", async () => {
  await using cloud = await startCloud({ assigningAnswers: 0 });
  for (let round = 0; round < 5; round += 1) {
    const clock = new ManualClock();
    await using gateway = await connected(cloud, clock);
    cloud.levers.patchTwin("test", gateway.registrationId, { desired: { site: { name: "Hall 8" } } });
    await gateway.until(() => JSON.stringify(gateway.site()).includes("Hall 8"), "the twin is applied");
    cloud.levers.moveEnrollment(gateway.registrationId, "production");
    cloud.levers.deleteDevice("test", gateway.registrationId);
    await gateway.until(() => gateway.failures().includes("mqtt/connection-lost"), "the hub threw it out");
    await passUntil(clock, gateway, () => gateway.failures().includes("hub/refused"));

    const realStart = performance.now();
    const production = `connected to ${cloud.hub("production").host}`;
    const simulatedMs = await passUntil(clock, gateway, () => gateway.lastHealth.startsWith(production));
    const tookMs = simulatedMs + performance.now() - realStart;
    console.log(`from the first refusal to the new hub: ${Math.round(tookMs / 100) / 10} s`);
    expect(simulatedMs).toBeGreaterThanOrEqual(30_000);
    expect(tookMs).toBeLessThan(90_000);
    expect(gateway.site()).toEqual({ name: "Hall 7" });
    expect(gateway.failures().filter((code) => code === "hub/refused")).toHaveLength(2);
  }
}, 60_000);

test("single refusals, thirty of them, never make a device leave its healthy hub", async () => {
  await using cloud = await startCloud({ assigningAnswers: 0 });
  const clock = new ManualClock();
  await using gateway = await connected(cloud, clock);
  for (let round = 1; round <= 30; round += 1) {
    cloud.faults.add({
      endpoint: "test",
      when: { at: "packet", packet: "connect" },
      do: { act: "connack", returnCode: 5 },
    });
    // Each session holds long enough not to look like another device's doing.
    clock.advance(61_000);
    cloud.levers.dropConnection("test", gateway.registrationId);
    await gateway.until(
      () => gateway.failures().filter((code) => code === "mqtt/connection-lost").length === round,
      "dropped",
    );
    await passUntil(clock, gateway, () => gateway.events("hub.connected").length === round + 1);
    await gateway.connected();
  }
  expect(gateway.failures().filter((code) => code === "hub/refused")).toHaveLength(30);
  expect(gateway.events("provisioning.started")).toHaveLength(1);
}, 60_000);
