import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { ManualClock } from "../manual-clock.ts";
import { Gateway } from "./gateway.ts";

/* DPS over HTTPS with a symmetric key; certificates make the same way in the journey with certificates. */

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0 });
});

afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

test("a wrong key is refused as over MQTT, and mended without a restart", async () => {
  const clock = new ManualClock();
  await using gateway = new Gateway(cloud, { overHttps: true, clock, isClockSynchronised: true });
  const { registrationId } = gateway;
  cloud.levers.enrollments.put({ registrationId, primaryKey: randomBytes(32).toString("base64") });
  await gateway.start();
  await gateway.until(() => gateway.failures().length === 1, "DPS refused");
  expect(gateway.failures()).toEqual(["provisioning/unauthorized"]);

  cloud.levers.enrollments.change(registrationId, { primaryKey: gateway.key });
  await clock.someoneSleeps();
  clock.advance(clock.nextIn() ?? 0);
  await cloud.waitFor(
    (event) => event.kind === "register" && event.clientId === registrationId && event.status === 202,
  );
  await clock.someoneSleeps();
  clock.advance(clock.nextIn() ?? 0);
  await gateway.connected();
});

test("a token that looks expired, with a clock that is not synchronised, is told as a doubtful clock", async () => {
  const clock = new ManualClock(Date.now() - 3 * 60 * 60_000);
  await using gateway = new Gateway(cloud, { overHttps: true, clock, isClockSynchronised: false });
  const { registrationId, key: primaryKey } = gateway;
  cloud.levers.enrollments.put({ registrationId, primaryKey });
  await gateway.start();
  await gateway.until(() => gateway.failures().length === 1, "DPS refused");
  expect(gateway.failures()).toEqual(["provisioning/clock-doubtful"]);
});

test("a device with a symmetric key finds its hub without one MQTT packet to DPS", async () => {
  await using gateway = new Gateway(cloud, { overHttps: true });
  const { registrationId, key: primaryKey } = gateway;
  const initialTwin = { desired: { site: { name: "Hall 7" } } };
  cloud.levers.enrollments.put({ registrationId, primaryKey, initialTwin });
  await gateway.start();
  await gateway.connected();
  expect(gateway.site()).toEqual({ name: "Hall 7" });
  const atDps = cloud.journal.events().filter(({ endpoint }) => endpoint === "dps");
  expect(atDps.some(({ kind }) => kind === "connect")).toBe(false);
  expect(
    atDps.filter(({ kind }) => kind === "https").map((event) => "method" in event && event.method),
  ).toEqual(expect.arrayContaining(["PUT", "GET"]));
});
