import { connect as connectTls } from "node:tls";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import { createKey } from "./hub.ts";
import { connectToHub, provision, refusalOf, sasToken, twinTopics, type TestDevice } from "./test-device.ts";

let cloud: Cloud;
let key: string;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0 });
  key = await enroll("gateway-1");
});
afterAll(async () => cloud[Symbol.asyncDispose]());

/** Enrolls and provisions to the test hub. @returns the primary key. */
async function enroll(id: string): Promise<string> {
  const { primaryKey } = cloud.levers.enrollments.put({ registrationId: id });
  await provision(cloud, id, primaryKey);
  return primaryKey;
}

const host = (): string => cloud.hub("test").host;

describe("CONNECT to a hub is refused with 5 for", () => {
  it.each<[string, () => Parameters<typeof connectToHub>[4]]>([
    [
      "another hub's host in the user name",
      () => ({ username: `${cloud.hub("production").host}/gateway-1/?api-version=2021-04-12` }),
    ],
    ["a user name without ?", () => ({ username: `${host()}/gateway-1/api-version=2021-04-12` })],
    ["a user name without api-version", () => ({ username: `${host()}/gateway-1/?DeviceClientType=x` })],
    ["an api-version that never was", () => ({ username: `${host()}/gateway-1/?api-version=2021-02-30` })],
    ["a client ID that differs", () => ({ clientId: "gateway-2" })],
    [
      "a client ID in other letters",
      () => ({ clientId: "Gateway-1", username: `${host()}/Gateway-1/?api-version=2021-04-12` }),
    ],
    [
      "a module of a device",
      () => ({
        clientId: "gateway-1/module",
        username: `${host()}/gateway-1/module/?api-version=2021-04-12`,
        token: { resource: `${host()}/devices/gateway-1/modules/module` },
      }),
    ],
    ["an empty password", () => ({ password: "" })],
    ["a password that is no token", () => ({ password: "open sesame" })],
    ["an expired token", () => ({ token: { lifetimeSeconds: -1 } })],
    ["a token for another device", () => ({ token: { resource: `${host()}/devices/gateway-2` } })],
    [
      "a token for another hub",
      () => ({ token: { resource: `${cloud.hub("production").host}/devices/gateway-1` } }),
    ],
    ["a token for DPS", () => ({ token: { resource: `${cloud.idScope}/registrations/gateway-1` } })],
    ["a token of a shared access policy", () => ({ token: { keyName: "iothubowner" } })],
    ["a token signed with another key", () => ({ token: { key: createKey() } })],
    [
      "a will for another topic",
      () => ({
        will: { topic: "devices/other/messages/events/", payload: Buffer.from("x"), qos: 0, retain: false },
      }),
    ],
  ])("%s", async (_name, overrides) => {
    expect(await refusalOf(connectToHub(cloud, "test", "gateway-1", key, overrides()))).toBe(5);
  });

  it("a device that is not there", async () => {
    expect(await refusalOf(connectToHub(cloud, "test", "stranger", key))).toBe(5);
    expect(await refusalOf(connectToHub(cloud, "production", "gateway-1", key))).toBe(5);
  });

  it("a disabled device, until it is enabled again", async () => {
    cloud.levers.setDeviceEnabled("test", "gateway-1", false);
    expect(await refusalOf(connectToHub(cloud, "test", "gateway-1", key))).toBe(5);
    cloud.levers.setDeviceEnabled("test", "gateway-1", true);
    expect(await refusalOf(connectToHub(cloud, "test", "gateway-1", key))).toBe(0);
  });

  it("a rotated key, from the next connection on", async () => {
    const old = await enroll("rotating");
    await using device = await connectToHub(cloud, "test", "rotating", old);
    const { primaryKey, secondaryKey } = cloud.levers.rotateKey("test", "rotating", "primary");
    await device.client.subscribeAsync(twinTopics.answers, { qos: 1 });
    expect((await device.ask(twinTopics.get)).status).toBe(200);
    expect(await refusalOf(connectToHub(cloud, "test", "rotating", old))).toBe(5);
    expect(await refusalOf(connectToHub(cloud, "test", "rotating", secondaryKey))).toBe(0);
    expect(await refusalOf(connectToHub(cloud, "test", "rotating", primaryKey))).toBe(0);
  });
});

describe("CONNECT to a hub is accepted with", () => {
  it.each<[string, () => Parameters<typeof connectToHub>[4]]>([
    [
      "a resource all in lower case",
      () => ({ token: { encode: (text) => encodeURIComponent(text.toLowerCase()) } }),
    ],
    [
      "the hub's name in place of its address",
      () => ({
        username: `${cloud.hub("test").dnsName}/gateway-1/?api-version=2021-04-12`,
        token: { resource: `${cloud.hub("test").dnsName}/devices/gateway-1` },
      }),
    ],
    [
      "a raw model ID",
      () => ({ username: `${cloud.hub("test").host}/gateway-1/?api-version=2020-09-30&model-id=dtmi:a:b;1` }),
    ],
  ])("%s", async (_name, overrides) => {
    expect(await refusalOf(connectToHub(cloud, "test", "gateway-1", key, overrides()))).toBe(0);
  });
});

describe("a hub connection is closed", () => {
  it.each<[string, (device: TestDevice) => unknown]>([
    [
      "after a subscription to an unknown filter",
      ({ client }) => client.subscribe("devices/+/messages/events/#"),
    ],
    [
      "after a subscription to another device's messages",
      ({ client }) => client.subscribe("devices/other/messages/devicebound/#"),
    ],
    ["after a subscription to the broker's own topics", ({ client }) => client.subscribe("$SYS/#")],
    [
      "after a publish to an unknown topic",
      ({ client }) => client.publish("devices/gateway-1/telemetry", ""),
    ],
    [
      "after a publish as another device",
      ({ client }) => client.publish("devices/other/messages/events/", ""),
    ],
    [
      "after a publish with QoS 2",
      ({ client }) => client.publish("devices/gateway-1/messages/events/", "", { qos: 2 }),
    ],
    ["when the device is disabled", () => cloud.levers.setDeviceEnabled("test", "gateway-1", false)],
    ["when the operator drops it", () => cloud.levers.dropConnection("test", "gateway-1")],
    ["ten minutes after its token ran out", () => cloud.levers.setClockOffset((3600 + 601) * 1000)],
  ])("%s", async (_name, cause) => {
    await using device = await connectToHub(cloud, "test", "gateway-1", key);
    cause(device);
    await device.closed;
    expect(device.client.connected).toBe(false);
    cloud.levers.setDeviceEnabled("test", "gateway-1", true);
    cloud.levers.setClockOffset(0);
  });

  it("when the device is deleted, and stays refused", async () => {
    const mortal = await enroll("mortal");
    await using device = await connectToHub(cloud, "test", "mortal", mortal);
    cloud.levers.deleteDevice("test", "mortal");
    await device.closed;
    expect(await refusalOf(connectToHub(cloud, "test", "mortal", mortal))).toBe(5);
  });

  it("when another connection takes over its client ID, and only then", async () => {
    await using first = await connectToHub(cloud, "test", "gateway-1", key);
    expect(await refusalOf(connectToHub(cloud, "test", "gateway-1", createKey()))).toBe(5);
    expect(first.client.connected).toBe(true);
    const { lastSeq } = cloud.journal;
    await using second = await connectToHub(cloud, "test", "gateway-1", key);
    await first.closed;
    expect(await cloud.waitFor(({ kind }) => kind === "disconnect", 1000, lastSeq)).toMatchObject({
      because: "another connection took over this client ID",
    });
    await second.client.subscribeAsync(twinTopics.answers, { qos: 1 });
    expect((await second.ask(twinTopics.get)).status).toBe(200);
  });

  it("when nothing was heard for one and a half times the keep-alive", async () => {
    const { host, port } = cloud.hub("test");
    const socket = connectTls({ host, port, ca: cloud.caPem });
    socket.write(
      connectPacket(
        "gateway-1",
        `${host}/gateway-1/?api-version=2021-04-12`,
        sasToken({ resource: `${host}/devices/gateway-1`, key }),
        1,
      ),
    );
    const packets: unknown[] = await once(socket, "data");
    expect(packets[0]).toEqual(Buffer.from([0x20, 2, 0, 0]));
    const openedAt = performance.now();
    socket.resume();
    await once(socket, "close");
    expect(performance.now() - openedAt).toBeGreaterThan(1400);
    const end = await cloud.waitFor(
      (event) => event.kind === "disconnect" && event.because.startsWith("keep"),
    );
    expect(end).toMatchObject({ clientId: "gateway-1", because: "keep-alive exceeded" });
  });
});

/** A CONNECT by hand, for a client that never pings (MQTT 3.1.1 section 3.1). */
function connectPacket(
  clientId: string,
  username: string,
  password: string,
  keepAliveSeconds: number,
): Buffer {
  const header = [text("MQTT"), Buffer.from([4, 0xc2, 0, keepAliveSeconds])];
  const body = Buffer.concat([...header, text(clientId), text(username), text(password)]);
  return Buffer.concat([Buffer.from([0x10, (body.length & 0x7f) | 0x80, body.length >> 7]), body]);
}

/** Text with its length before it (MQTT 3.1.1 section 1.5.3). */
function text(value: string): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(Buffer.byteLength(value));
  return Buffer.concat([length, Buffer.from(value)]);
}

describe("a session", () => {
  it("that is kept remembers its subscriptions, one that is clean forgets them", async () => {
    const kept = await enroll("keeper");
    const { lastSeq } = cloud.journal;
    {
      await using device = await connectToHub(cloud, "test", "keeper", kept, { clean: true });
      await device.client.subscribeAsync(twinTopics.desired, { qos: 1 });
    }
    {
      await using device = await connectToHub(cloud, "test", "keeper", kept);
      await device.client.subscribeAsync(twinTopics.desired, { qos: 1 });
    }
    await cloud.waitFor(closings(lastSeq, 2), 1000, lastSeq);
    await using device = await connectToHub(cloud, "test", "keeper", kept);
    cloud.levers.patchTwin("test", "keeper", { desired: { level: 1 } });
    await device.next("$iothub/twin/PATCH/properties/desired/");
    const connects = cloud.journal.events(lastSeq).filter(({ kind }) => kind === "connect");
    expect(connects.map((event) => "sessionPresent" in event && event.sessionPresent)).toEqual([
      false,
      false,
      true,
    ]);
  });

  it("does not bring back desired patches or answers of an earlier connection", async () => {
    const asleep = await enroll("sleeper");
    {
      await using device = await connectToHub(cloud, "test", "sleeper", asleep);
      await device.client.subscribeAsync(twinTopics.desired, { qos: 1 });
      await device.client.subscribeAsync(twinTopics.answers, { qos: 1 });
    }
    cloud.levers.patchTwin("test", "sleeper", { desired: { level: 1 } });
    await using device = await connectToHub(cloud, "test", "sleeper", asleep);
    const { body } = await device.ask(twinTopics.get);
    expect(JSON.parse(body)).toMatchObject({ desired: { level: 1, $version: 2 } });
    expect(device.order.filter((topic) => topic.includes("PATCH"))).toEqual([]);
  });
});

/** True for the nth disconnection after a moment. */
function closings(afterSeq: number, count: number): () => boolean {
  return () => cloud.journal.events(afterSeq).filter(({ kind }) => kind === "disconnect").length >= count;
}
