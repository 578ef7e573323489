import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import type { CloudEvent } from "../cloud/journal.ts";
import { Gateway } from "./gateway.ts";

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
});

afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

/** An enrollment for this gateway, with the wish that its site has this name. */
function enroll(gateway: Gateway, name: string): void {
  cloud.levers.enrollments.put({
    registrationId: gateway.registrationId,
    primaryKey: gateway.key,
    hub: "test",
    initialTwin: { desired: { site: { name } } },
  });
}

function dpsCalls(gateway: Gateway): number {
  return cloud.journal
    .events()
    .filter((event) => event.kind === "register" && event.clientId === gateway.registrationId).length;
}

test("a device that knows nothing but its ID scope ends up connected, with its twin applied and acknowledged", async () => {
  await using gateway = new Gateway(cloud);
  enroll(gateway, "Hall 7");
  await gateway.start();
  await gateway.connected();

  expect(gateway.site()).toEqual({ name: "Hall 7" });
  const { reported, desired } = cloud.levers.twin("test", gateway.registrationId);
  expect(reported.properties["site"]).toMatchObject({
    value: { name: "Hall 7" },
    ac: 200,
    av: desired.version,
  });
  expect(reported.properties["latebind"]).toMatchObject({ __t: "c", version: "0.0.0-test", phase: "online" });
  expect(gateway.isReady).toBe(true);
});

test("what a custom allocation function is told and answers goes both ways", async () => {
  await using gateway = new Gateway(cloud, { more: '[provisioning.payload]\nsite = "plant-7"\nline = 2' });
  cloud.levers.enrollments.put({
    registrationId: gateway.registrationId,
    primaryKey: gateway.key,
    payload: { ring: "canary" },
  });
  await gateway.start();
  await gateway.connected();

  const isOurs = (event: CloudEvent) =>
    event.kind === "register" && event.clientId === gateway.registrationId;
  expect(cloud.journal.events().find(isOurs)).toMatchObject({ payload: { site: "plant-7", line: 2 } });
  const stored = readdirSync(gateway.stateDirectory).map((name) =>
    readFileSync(join(gateway.stateDirectory, name), "utf8"),
  );
  expect(stored.join("\n")).toContain('"payload":{"ring":"canary"}');
});

test("a restart goes straight to the hub, applies nothing twice and does not ask DPS", async () => {
  await using gateway = new Gateway(cloud);
  enroll(gateway, "Hall 7");
  await gateway.start();
  await gateway.connected();
  await gateway.stop();
  const before = dpsCalls(gateway);
  gateway.lines.length = 0;
  gateway.health.length = 0;

  await gateway.start();
  await gateway.connected();
  expect(dpsCalls(gateway)).toBe(before);
  expect(gateway.events("twin.applied")).toEqual([]);
});

test("what changed in the twin while the device was away is applied on connect", async () => {
  await using gateway = new Gateway(cloud);
  enroll(gateway, "Hall 7");
  await gateway.start();
  await gateway.connected();
  await gateway.stop();
  cloud.levers.patchTwin("test", gateway.registrationId, { desired: { site: { name: "Hall 8" } } });
  gateway.health.length = 0;

  await gateway.start();
  await gateway.connected();
  expect(gateway.site()).toEqual({ name: "Hall 8" });
});

test("a wish with a wrong log level is answered 400, the others are applied all the same", async () => {
  await using gateway = new Gateway(cloud);
  enroll(gateway, "Hall 7");
  await gateway.start();
  await gateway.connected();
  const change = { latebind: { __t: "c", logLevel: "loud" }, site: { name: "Hall 9" } };
  cloud.levers.patchTwin("test", gateway.registrationId, { desired: change });
  await gateway.until(() => gateway.events("report.accepted").length > 1, "the answer was reported");

  const { reported } = cloud.levers.twin("test", gateway.registrationId);
  expect(reported.properties["latebind"]).toMatchObject({ logLevel: { ac: 400 } });
  expect(reported.properties["site"]).toMatchObject({ value: { name: "Hall 9" }, ac: 200 });
  expect(gateway.site()).toEqual({ name: "Hall 9" });
});

test("a device that was moved and deleted finds its new hub after the second refusal, and applies its twin there", async () => {
  await using gateway = new Gateway(cloud);
  enroll(gateway, "Hall 7");
  await gateway.start();
  await gateway.connected();
  const before = dpsCalls(gateway);

  cloud.levers.moveEnrollment(gateway.registrationId, "production");
  cloud.levers.deleteDevice("test", gateway.registrationId);
  await gateway.until(
    () => gateway.lastHealth.includes(cloud.hub("production").host),
    "it reached production",
    20_000,
  );
  await gateway.connected();

  expect(gateway.failures()).toEqual(["mqtt/connection-lost", "hub/refused", "hub/refused"]);
  expect(dpsCalls(gateway)).toBe(before + 1);
  const { reported } = cloud.levers.twin("production", gateway.registrationId);
  expect(reported.properties["site"]).toMatchObject({ value: { name: "Hall 7" }, ac: 200 });
});

test("one refusal does not make a device leave a healthy hub", async () => {
  await using gateway = new Gateway(cloud);
  enroll(gateway, "Hall 7");
  await gateway.start();
  await gateway.connected();
  const before = dpsCalls(gateway);

  cloud.levers.setDeviceEnabled("test", gateway.registrationId, false);
  await gateway.until(() => gateway.failures().includes("hub/refused"), "the hub refused once");
  cloud.levers.setDeviceEnabled("test", gateway.registrationId, true);
  await gateway.until(() => gateway.health.at(-1)?.at === "connected", "it came back");

  expect(gateway.failures().filter((code) => code === "hub/refused")).toHaveLength(1);
  expect(dpsCalls(gateway)).toBe(before);
});

test("a dropped connection leads back to the same hub, never to DPS", async () => {
  await using gateway = new Gateway(cloud);
  enroll(gateway, "Hall 7");
  await gateway.start();
  await gateway.connected();
  const before = dpsCalls(gateway);
  for (let round = 0; round < 2; round += 1) {
    gateway.health.length = 0;
    cloud.levers.dropConnection("test", gateway.registrationId);
    await gateway.connected();
  }
  expect(dpsCalls(gateway)).toBe(before);
});

test("a stopped agent says goodbye to the hub and leaves no temporary file", async () => {
  await using gateway = new Gateway(cloud);
  enroll(gateway, "Hall 7");
  await gateway.start();
  await gateway.connected();
  await gateway.stop();
  const goodbye = await cloud.waitFor(
    (event) =>
      event.kind === "disconnect" && event.clientId === gateway.registrationId && event.endpoint === "test",
  );
  expect(goodbye).toMatchObject({ because: "client disconnected" });
  expect(readdirSync(gateway.stateDirectory).filter((name) => name.includes("tmp"))).toEqual([]);
});
