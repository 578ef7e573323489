import { randomBytes } from "node:crypto";
import tls from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { selfSigned } from "../identity/device-pki.ts";
import { ManualClock } from "../manual-clock.ts";
import { Gateway } from "./gateway.ts";

const minute = 60_000;
const initialTwin = { desired: { site: { name: "Hall 7" } } };

/** Lets the agent's waits pass until the condition holds. */
async function passUntil(clock: ManualClock, gateway: Gateway, done: () => boolean): Promise<void> {
  while (!done()) {
    const seen = gateway.lines.length;
    if (gateway.health.at(-1)?.at === "waiting") {
      await clock.someoneSleeps();
      clock.advance(clock.nextIn() ?? 0);
    }
    await gateway.until(() => done() || gateway.lines.length > seen, "something happened");
  }
}

function refuse(cloud: Cloud, endpoint: string): void {
  cloud.faults.add({
    endpoint,
    when: { at: "packet", packet: "connect" },
    do: { act: "connack", returnCode: 5 },
    times: "always",
  });
}

test("a new hub that refuses: the old one has its turn, across a restart too, until the new one takes the device in", async () => {
  await using cloud = await startCloud({ assigningAnswers: 0 });
  const clock = new ManualClock();
  await using gateway = new Gateway(cloud, { clock, isClockSynchronised: true });
  const { registrationId, key } = gateway;
  cloud.levers.enrollments.put({ registrationId, primaryKey: key, hub: "test", initialTwin });
  await gateway.start();
  await gateway.connected();
  const [old, fresh] = [cloud.hub("test").host, cloud.hub("production").host];

  cloud.levers.moveEnrollment(registrationId, "production");
  refuse(cloud, "production");
  // The move takes the device out of its old hub; there it was made again by hand.
  await gateway.until(() => gateway.health.at(-1)?.at === "connected", "it is connected");
  gateway.inputs.tell({ kind: "reprovision" });
  await gateway.until(() => gateway.events("provisioning.assigned").length === 2, "DPS named the new hub");
  cloud.levers.putDevice("test", registrationId, { auth: { type: "sas", primaryKey: key }, initialTwin });
  const serves = () => gateway.health.at(-1)?.at === "connected" && gateway.lastHealth.includes(old);
  await passUntil(clock, gateway, serves);
  expect(gateway.failures().filter((code) => code === "hub/refused")).toHaveLength(2);
  expect(gateway.lastHealth).toMatch(/the previous hub, until DPS answers/);

  // The new hub is tried first after a restart: it may be in step by now. It is not, so the old one serves again.
  await gateway.stop();
  gateway.health.length = 0;
  await gateway.start();
  await passUntil(clock, gateway, serves);
  expect(gateway.events("provisioning.started")).toHaveLength(2);

  cloud.faults.clear();
  clock.advance(10 * minute);
  await passUntil(clock, gateway, () => gateway.lastHealth.startsWith(`connected to ${fresh} as`));
  expect(gateway.lastHealth).not.toMatch(/previous hub/);
}, 30_000);

describe.each(["TLSv1.2", "TLSv1.3"] as const)("over %s", (version) => {
  const newest = tls.DEFAULT_MAX_VERSION;
  beforeAll(() => {
    tls.DEFAULT_MAX_VERSION = version;
  });
  afterAll(() => {
    tls.DEFAULT_MAX_VERSION = newest;
  });

  test("a hub that refuses our certificate by a TLS alert, twice, leads to DPS as any refusal does", async () => {
    await using cloud = await startCloud({ assigningAnswers: 0 });
    const clock = new ManualClock();
    const registrationId = `gw-${randomBytes(4).toString("hex")}`;
    const credential = await selfSigned(registrationId);
    await using gateway = new Gateway(cloud, {
      clock,
      isClockSynchronised: true,
      registrationId,
      credential: { chainPem: credential.certPem, keyPem: credential.keyPem },
    });
    const attestation = { type: "x509", primary: credential.certPem } as const;
    cloud.levers.enrollments.put({ registrationId, attestation, hub: "test", initialTwin });
    await gateway.start();
    await gateway.connected();
    cloud.levers.moveEnrollment(registrationId, "production");
    cloud.faults.add({
      endpoint: "test",
      when: { at: "connection" },
      do: { act: "alert", alert: "certificate_revoked", after: "certificate" },
      times: "always",
    });
    cloud.levers.dropConnection("test", registrationId);
    const fresh = `connected to ${cloud.hub("production").host}`;
    await passUntil(clock, gateway, () => gateway.lastHealth.startsWith(fresh));
    expect(gateway.failures()).toEqual([
      "mqtt/connection-lost",
      "mqtt/certificate-refused",
      "mqtt/certificate-refused",
    ]);
  }, 20_000);
});

async function start(uptimeMs: number, isKnown: boolean) {
  const clock = new ManualClock();
  const cloud = await startCloud({ assigningAnswers: 0 });
  const gateway = new Gateway(cloud, { clock, uptimeMs });
  const { registrationId, key } = gateway;
  cloud.levers.enrollments.put({ registrationId, primaryKey: key, hub: "test" });
  if (isKnown) {
    const earlier = new Gateway(cloud, { registrationId, key, stateDirectory: gateway.stateDirectory });
    await earlier.start();
    await earlier.connected();
    await earlier.stop();
  }
  await gateway.start();
  return {
    gateway,
    clock,
    async [Symbol.asyncDispose]() {
      await gateway[Symbol.asyncDispose]();
      await cloud[Symbol.asyncDispose]();
    },
  };
}

describe("a start", () => {
  test("right after the machine booted spreads its first connect over ten seconds", async () => {
    await using scene = await start(30_000, true);
    const { gateway, clock } = scene;
    await clock.someoneSleeps();
    expect(clock.nextIn()).toBeGreaterThan(0);
    expect(clock.nextIn()).toBeLessThanOrEqual(10_000);
    expect(gateway.isReady).toBe(true);
    expect(gateway.events("hub.connected")).toHaveLength(0);
    clock.advance(10_000);
    await gateway.connected();
  });

  test.each([
    ["of a device without an assignment", 30_000, false],
    ["on a machine that has been running for long", 600_000, true],
  ] as const)("%s waits for nothing", async (_, uptimeMs, isKnown) => {
    await using scene = await start(uptimeMs, isKnown);
    await scene.gateway.connected();
    expect(scene.clock.monotonic()).toBe(0);
  });
});
