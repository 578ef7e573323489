import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { ManualClock } from "../manual-clock.ts";
import { Gateway } from "./gateway.ts";
import { liveFor } from "./live-for.ts";

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ assigningAnswers: 0 });
});

afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

function enroll(gateway: Gateway, primaryKey = gateway.key): void {
  cloud.levers.enrollments.put({
    registrationId: gateway.registrationId,
    primaryKey,
    hub: "test",
    initialTwin: { desired: { site: { name: "Hall 7" } } },
  });
}

async function startConnected(clock?: ManualClock): Promise<Gateway> {
  const gateway = new Gateway(cloud, clock === undefined ? {} : { clock });
  enroll(gateway);
  await gateway.start();
  await gateway.connected();
  return gateway;
}

function connects(gateway: Gateway, endpoint: string): number {
  return cloud.journal
    .events()
    .filter(
      (event) =>
        event.kind === "connect" && event.endpoint === endpoint && event.clientId === gateway.registrationId,
    ).length;
}

function stateFiles(gateway: Gateway, prefix: string): readonly string[] {
  return readdirSync(gateway.stateDirectory).filter((name) => name.startsWith(prefix));
}

function generation(gateway: Gateway, name: string): number {
  const text = readFileSync(join(gateway.stateDirectory, name), "utf8");
  return Number(/"generation":(\d+)/.exec(text)?.[1]);
}

test("ten minutes without a line: jittered back-off, then it reconnects and applies what changed meanwhile", async () => {
  const own = await startCloud({ assigningAnswers: 0 });
  await using _ = own;
  const clock = new ManualClock();
  await using gateway = new Gateway(own, { clock });
  own.levers.enrollments.put({
    registrationId: gateway.registrationId,
    primaryKey: gateway.key,
    hub: "test",
    initialTwin: { desired: { site: { name: "Hall 7" } } },
  });
  await gateway.start();
  await gateway.connected();

  await own.levers.setLine("test", false);
  await gateway.until(() => gateway.health.at(-1)?.at === "waiting", "the line was cut");
  const waits = await liveFor(10 * 60_000, gateway, clock);
  own.levers.patchTwin("test", gateway.registrationId, { desired: { site: { name: "Hall 8" } } });

  // 1 s to 60 s, drawn anew each time: neither a storm nor a silence.
  expect(waits.length).toBeGreaterThan(10);
  expect(waits.length).toBeLessThan(60);
  expect(Math.max(...waits)).toBeLessThanOrEqual(60_000);
  expect(Math.min(...waits)).toBeGreaterThanOrEqual(1_000);
  expect(new Set(waits).size).toBeGreaterThan(waits.length / 2);
  const dps = own.journal.events().filter((event) => event.kind === "register");
  expect(dps).toHaveLength(1);

  await own.levers.setLine("test", true);
  clock.advance(clock.nextIn() ?? 0);
  await gateway.connected();
  expect(gateway.site()).toEqual({ name: "Hall 8" });
}, 30_000);

test("without any network the last known desired state is in force and the agent is ready", async () => {
  const own = await startCloud({ assigningAnswers: 0 });
  await using gateway = new Gateway(own);
  own.levers.enrollments.put({
    registrationId: gateway.registrationId,
    primaryKey: gateway.key,
    initialTwin: { desired: { site: { name: "Hall 7" } } },
  });
  await gateway.start();
  await gateway.connected();
  await gateway.stop();
  await own[Symbol.asyncDispose]();
  gateway.isReady = false;
  gateway.health.length = 0;

  await gateway.start();
  await gateway.until(() => gateway.health.at(-1)?.at === "waiting", "it found no line");
  expect(gateway.isReady).toBe(true);
  expect(gateway.site()).toEqual({ name: "Hall 7" });
  expect(gateway.lastHealth).toMatch(/^not connected: cannot connect to .*: the port is closed/);
});

test("damaged memory is set aside and told, and everything is applied once more", async () => {
  await using gateway = await startConnected();
  await gateway.stop();
  rmSync(gateway.siteFile);
  for (const name of stateFiles(gateway, "device.")) truncateSync(join(gateway.stateDirectory, name), 10);
  gateway.health.length = 0;
  await gateway.start();
  await gateway.connected();
  expect(gateway.site()).toEqual({ name: "Hall 7" });
  expect(gateway.events("platform.state-damaged").length).toBeGreaterThan(0);
  expect(stateFiles(gateway, "device.").some((file) => file.includes("damaged"))).toBe(true);
});

test("when the newest assignment is damaged the older generation serves, without asking DPS", async () => {
  await using gateway = await startConnected();
  await gateway.stop();
  const asked = connects(gateway, "dps");
  const [newest = ""] = stateFiles(gateway, "assignment.").toSorted(
    (one, other) => generation(gateway, other) - generation(gateway, one),
  );
  truncateSync(join(gateway.stateDirectory, newest), 40);
  gateway.health.length = 0;
  await gateway.start();
  await gateway.connected();
  expect(connects(gateway, "dps")).toBe(asked);
  expect(gateway.events("platform.state-damaged")).toHaveLength(1);
});

test("a changed ID scope leads to DPS, and while DPS refuses it the old hub goes on serving", async () => {
  const clock = new ManualClock();
  await using gateway = await startConnected(clock);
  await gateway.stop();
  gateway.health.length = 0;
  gateway.lines.length = 0;
  gateway.writeConfig({ idScope: "0ne00000000" });

  await gateway.start();
  await gateway.until(() => gateway.failures().length === 1, "DPS refused the new scope");
  expect(gateway.failures()).toEqual(["provisioning/not-accepted"]);
  await clock.someoneSleeps();
  clock.advance(clock.nextIn() ?? 0);
  await gateway.connected();
  expect(gateway.lastHealth).toMatch(/the previous hub, until DPS answers/);
  expect(existsSync(join(gateway.stateDirectory, "assignment.a.json"))).toBe(true);

  // The session is left for DPS again after its ladder, and the old hub has its turn once more.
  const asked = connects(gateway, "dps");
  clock.advance(60 * 60_000);
  await gateway.until(() => gateway.failures().length === 2, "DPS was asked again");
  expect(connects(gateway, "dps")).toBe(asked + 1);
});

test("a typing error in the ID scope costs a few calls to DPS an hour, not a storm, and the old hub serves in between", async () => {
  const clock = new ManualClock();
  await using gateway = await startConnected(clock);
  await gateway.stop();
  gateway.writeConfig({ idScope: "0ne00000000" });
  gateway.health.length = 0;
  const asked = connects(gateway, "dps");
  await gateway.start();
  await liveFor(3 * 60 * 60_000, gateway, clock);
  const calls = connects(gateway, "dps") - asked;
  expect(calls).toBeGreaterThanOrEqual(4);
  expect(calls).toBeLessThanOrEqual(25);
  expect(gateway.health.filter(({ at }) => at === "connected").length).toBeGreaterThanOrEqual(calls - 1);
}, 30_000);

test("a changed credential leads to DPS; the new hub's acceptance ends the fallback", async () => {
  await using gateway = await startConnected();
  await gateway.stop();
  const key = randomBytes(32).toString("base64");
  gateway.writeKey(key);
  enroll(gateway, key);
  cloud.levers.moveEnrollment(gateway.registrationId, "production");
  gateway.health.length = 0;

  await gateway.start();
  await gateway.connected();
  expect(gateway.lastHealth).toContain(`connected to ${cloud.hub("production").host} as`);
  expect(gateway.events("provisioning.started").at(-1)).toMatchObject({
    because: "changed since the last registration: credential",
  });
});

test("the token is renewed before it ends, without asking DPS and without applying anything again", async () => {
  const clock = new ManualClock();
  await using gateway = await startConnected(clock);
  const before = connects(gateway, "test");
  const asked = connects(gateway, "dps");
  const applied = gateway.events("twin.applied").length;
  clock.advance(59 * 60_000);
  await gateway.until(() => gateway.events("hub.connected").length === 2, "it connected with a new token");
  await gateway.until(() => gateway.events("twin.fetched").length === 2, "it fetched the twin");
  expect(connects(gateway, "test")).toBe(before + 1);
  expect(connects(gateway, "dps")).toBe(asked);
  expect(gateway.events("twin.applied")).toHaveLength(applied);
  expect(gateway.failures()).toEqual([]);
});

test("two devices with one identity do not throw each other off without end", async () => {
  const clock = new ManualClock();
  await using gateway = await startConnected(clock);
  await using twin = new Gateway(cloud, { registrationId: gateway.registrationId, key: gateway.key });
  await twin.start();
  await gateway.until(() => gateway.failures().includes("mqtt/connection-lost"), "the other took its place");
  const before = connects(gateway, "test");
  await clock.someoneSleeps();
  expect(clock.nextIn()).toBeGreaterThanOrEqual(1_000);
  expect(connects(gateway, "test")).toBe(before);
});

test("a network that is away is no reason to ask DPS, not even after an hour", async () => {
  const clock = new ManualClock();
  await using gateway = await startConnected(clock);
  await cloud.levers.setLine("dps", false);
  await cloud.levers.setLine("test", false);
  await gateway.until(() => gateway.health.at(-1)?.at === "waiting", "the line was cut");
  await liveFor(60 * 60_000, gateway, clock);
  await cloud.levers.setLine("test", true);
  await cloud.levers.setLine("dps", true);
  expect(gateway.events("provisioning.started")).toHaveLength(1);
}, 30_000);

test("a hub that is away while DPS can be reached is asked about at DPS, once, and not before ten attempts", async () => {
  const clock = new ManualClock();
  await using gateway = await startConnected(clock);
  await cloud.levers.setLine("test", false);
  await gateway.until(() => gateway.health.at(-1)?.at === "waiting", "the line was cut");
  const waits = await liveFor(7 * 60_000, gateway, clock);
  expect(waits.length).toBeGreaterThanOrEqual(8);
  expect(gateway.events("provisioning.started")).toHaveLength(1);
  cloud.levers.moveEnrollment(gateway.registrationId, "production");
  const production = cloud.hub("production").host;
  for (
    let minutes = 0;
    minutes < 60 && !gateway.lastHealth.includes(`connected to ${production}`);
    minutes += 1
  )
    await liveFor(60_000, gateway, clock);
  await cloud.levers.setLine("test", true);
  expect(gateway.lastHealth).toMatch(`connected to ${production}`);
  expect(gateway.events("provisioning.started")).toHaveLength(2);
}, 30_000);
