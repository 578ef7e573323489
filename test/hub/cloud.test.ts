import { createHmac, randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openSession, type Session } from "../../src/hub/session.ts";
import { hubResource, hubUsername } from "../../src/hub/wire.ts";
import { sharedAccessSignature } from "../../src/identity/sas.ts";
import { openMqttLink } from "../../src/mqtt/mqtt-js-link.ts";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { provision } from "../cloud/test-device.ts";
import { failureOf } from "../failure-of.ts";

/* The session with a hub that checks credentials, keeps twins and evicts. */

const never = new AbortController().signal;
let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ assigningAnswers: 0 });
});
afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

class Device {
  readonly deviceId = `gw-${randomBytes(4).toString("hex")}`;
  readonly key: string = randomBytes(32).toString("base64");

  async enroll(): Promise<void> {
    cloud.levers.enrollments.put({
      registrationId: this.deviceId,
      primaryKey: this.key,
      initialTwin: { desired: { site: { name: "Hall 7" } } },
    });
    await provision(cloud, this.deviceId, this.key);
  }

  async connect({ key = this.key, expiresInMs = 3_600_000 } = {}): Promise<Session> {
    const hub = cloud.hub("test").host;
    const secret = Buffer.from(key, "base64");
    const signer = { hmac: async (data: Uint8Array) => createHmac("sha256", secret).update(data).digest() };
    return openSession(
      openMqttLink,
      {
        hub,
        port: cloud.hub("test").port,
        trustedRoots: cloud.caPem,
        deviceId: this.deviceId,
        username: hubUsername(hub, this.deviceId, "2021-04-12", "latebind/test"),
        password: await sharedAccessSignature(
          signer,
          hubResource(hub, this.deviceId),
          Date.now() + expiresInMs,
          undefined,
          never,
        ),
        keepAliveMs: 60_000,
      },
      never,
    );
  }
}

async function enrolled(): Promise<Device> {
  const device = new Device();
  await device.enroll();
  return device;
}

describe("the hub says the same to every kind of refusal", () => {
  test.each([
    ["an unknown device", async () => new Device().connect()],
    ["another key", async () => (await enrolled()).connect({ key: randomBytes(32).toString("base64") })],
    ["an expired token", async () => (await enrolled()).connect({ expiresInMs: -1_000 })],
    [
      "a disabled device",
      async () => {
        const device = await enrolled();
        cloud.levers.setDeviceEnabled("test", device.deviceId, false);
        return device.connect();
      },
    ],
    [
      "a deleted device",
      async () => {
        const device = await enrolled();
        cloud.levers.deleteDevice("test", device.deviceId);
        return device.connect();
      },
    ],
  ])("%s", async (_, connect) => {
    expect(await failureOf(connect())).toMatchObject({ code: "hub/refused", remedy: "reprovision" });
  });
});

describe("a session", () => {
  test("fetches the twin and reports into it", async () => {
    const device = await enrolled();
    await using session = await device.connect();
    expect(await session.twin(never)).toMatchObject({ desired: { site: { name: "Hall 7" } } });
    await session.report({ site: { value: 1 } }, never);
    await session.report({ site: { value: null, other: 2 } }, never);
    expect(cloud.levers.twin("test", device.deviceId).reported.properties).toEqual({ site: { other: 2 } });
  });

  test("is not ended by a report that the hub refuses", async () => {
    const device = await enrolled();
    await using session = await device.connect();
    const error = await failureOf(session.report({ "a.b": 1 }, never));
    expect(error).toMatchObject({ code: "hub/twin-refused", remedy: "operator" });
    expect(error.message).toContain("a.b");
    await session.report({ ab: 1 }, never);
  });

  test("hears desired changes in the order of their versions", async () => {
    const device = await enrolled();
    await using session = await device.connect();
    const { version } = cloud.levers.twin("test", device.deviceId).desired;
    const seen: unknown[] = [];
    for (const name of ["one", "two", "three"]) {
      cloud.levers.patchTwin("test", device.deviceId, { desired: { site: { name } } });
    }
    while (seen.length < 3) seen.push(...(await session.desiredPatches(never)));
    expect(seen).toEqual(
      ["one", "two", "three"].map((name, index) => ({ site: { name }, $version: version + 1 + index })),
    );
  });

  test.each([
    ["the deletion of the device", (id: string) => cloud.levers.deleteDevice("test", id)],
    ["a dropped connection", (id: string) => cloud.levers.dropConnection("test", id)],
  ])("is lost by %s", async (_, strike) => {
    const device = await enrolled();
    await using session = await device.connect();
    const waiting = failureOf(session.desiredPatches(never));
    strike(device.deviceId);
    expect(await waiting).toMatchObject({ code: "mqtt/connection-lost", remedy: "retry" });
    expect(session.lost.aborted).toBe(true);
  });

  test("is lost by another agent with the same identity, whose session lives", async () => {
    const device = await enrolled();
    await using session = await device.connect();
    const waiting = failureOf(session.desiredPatches(never));
    await using rival = await device.connect();
    expect((await waiting).code).toBe("mqtt/connection-lost");
    expect(await rival.twin(never)).toHaveProperty("desired");
  });

  test("keeps its subscriptions at the hub, and takes leave when it ends", async () => {
    const device = await enrolled();
    const before = cloud.journal.lastSeq;
    const session = await device.connect();
    await session[Symbol.asyncDispose]();
    const left = await cloud.waitFor(
      ({ kind, endpoint }) => kind === "disconnect" && endpoint === "test",
      5_000,
      before,
    );
    expect(left).toMatchObject({ clientId: device.deviceId, because: "client disconnected" });
    const connect = cloud.journal.events(before).find(({ kind }) => kind === "connect");
    expect(connect).toMatchObject({ cleanSession: false, sessionPresent: false, keepAliveSeconds: 60 });
  });
});
