import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import type { HubThrottle } from "./hub-throttle.ts";
import { anyText, textWith } from "./matchers.ts";
import { askAdmin } from "./test-admin.ts";
import { parseAnswer, refusalOf, twinTopics, type TestDevice } from "./test-device.ts";
import { connectNew } from "./test-hub-device.ts";

let cloud: Cloud;
let throttle: HubThrottle;

beforeAll(async () => {
  cloud = await startCloud();
  ({ throttle } = cloud.levers.hub("test"));
});
afterEach(() => {
  throttle.change({
    connectsPerSecond: null,
    publishesPerSecond: null,
    twinReadsPerSecond: null,
    twinUpdatesPerSecond: null,
    whenPublishing: "delay",
  });
  cloud.levers.setClockOffset(0);
});
afterAll(async () => cloud[Symbol.asyncDispose]());

async function online(deviceId: string): Promise<TestDevice> {
  const device = await connectNew(cloud, deviceId);
  await device.client.subscribeAsync(twinTopics.answers, { qos: 1 });
  return device;
}

async function tell(device: TestDevice): Promise<void> {
  const deviceId = device.client.options.clientId ?? "";
  await device.client.publishAsync(`devices/${deviceId}/messages/events/`, "x", { qos: 1 });
}

describe("throttling by 429", () => {
  it.each([
    ["reads", { twinReadsPerSecond: 2 }, twinTopics.get, ""],
    ["updates", { twinUpdatesPerSecond: 2 }, twinTopics.patch, '{"a":1}'],
  ] as const)(
    "refuses twin %s beyond the hub's limit until a second is over",
    async (_name, limit, topic, body) => {
      await using first = await online("reader-1");
      await using second = await online("reader-2");
      throttle.change(limit);
      const before = cloud.levers.twin("test", "reader-1").etag;
      await first.ask(topic, body);
      await second.ask(topic, body);
      const after = cloud.levers.twin("test", "reader-1").etag;
      const refused = await first.ask(topic, body);
      expect(refused.topic).toMatch(/^\$iothub\/twin\/res\/429\/\?\$rid=[^&]+$/);
      expect(parseAnswer(refused.body)).toEqual({
        errorCode: 429_001,
        message: anyText,
        trackingId: anyText,
        timestampUtc: anyText,
        info: null,
      });
      expect(cloud.levers.twin("test", "reader-1").etag).toBe(after);
      expect(before === after).toBe(topic === twinTopics.get);
      cloud.levers.setClockOffset(1000);
      expect((await first.ask(topic, body)).status).toBeLessThan(300);
    },
  );

  it("does not count reads as updates", async () => {
    await using device = await online("reader-1");
    throttle.change({ twinUpdatesPerSecond: 0 });
    expect((await device.ask(twinTopics.get)).status).toBe(200);
    expect((await device.ask(twinTopics.patch, "{}")).status).toBe(429);
  });
});

describe("throttling of publishes", () => {
  it("withholds the PUBACK of what is too much, and then lets it pass", async () => {
    await using device = await online("talker");
    throttle.change({ publishesPerSecond: 2 });
    await tell(device);
    await tell(device);
    const { lastSeq } = cloud.journal;
    const third = tell(device);
    const fourth = tell(device);
    await using other = await online("bystander");
    await other.ask(twinTopics.get);
    expect(cloud.journal.events(lastSeq).filter(({ kind }) => kind === "telemetry")).toEqual([]);
    cloud.levers.setClockOffset(1000);
    await third;
    await fourth;
    expect(cloud.levers.telemetry("test", "talker")).toHaveLength(4);
  });

  it("closes the connection where it was told to", async () => {
    await using device = await online("shouter");
    throttle.change({ publishesPerSecond: 1, whenPublishing: "close" });
    await tell(device);
    device.client.publish("devices/shouter/messages/events/", "x", { qos: 1 }, () => {});
    await device.closed;
    expect(cloud.levers.telemetry("test", "shouter")).toHaveLength(1);
    expect(
      await cloud.waitFor((event) => event.kind === "disconnect" && event.clientId === "shouter"),
    ).toMatchObject({ because: "more than 1 publishes per second" });
  });
});

it("throttling of connects answers 3", async () => {
  throttle.change({ connectsPerSecond: 1 });
  expect(await refusalOf(connectNew(cloud, "first"))).toBe(0);
  expect(await refusalOf(connectNew(cloud, "second"))).toBe(3);
  cloud.levers.setClockOffset(1000);
  expect(await refusalOf(connectNew(cloud, "second"))).toBe(0);
});

describe("the admin API", () => {
  it("changes what is named, lifts by null, and shows what is left", async () => {
    const path = "/hubs/test/throttle";
    await askAdmin(cloud, "PATCH", path, { twinReadsPerSecond: 5, publishesPerSecond: 6 });
    await askAdmin(cloud, "PATCH", path, { publishesPerSecond: null, whenPublishing: "close" });
    expect((await askAdmin(cloud, "GET", path)).body).toEqual({
      twinReadsPerSecond: 5,
      whenPublishing: "close",
    });
  });

  it.each([
    { twinReadsPerSecond: -1 },
    { publishesPerSecond: 1.5 },
    { whenPublishing: "wait" },
    { colour: 1 },
  ])("refuses %j", async (body) => {
    expect(await askAdmin(cloud, "PATCH", "/hubs/test/throttle", body)).toMatchObject({
      status: 400,
      body: { error: textWith(Object.keys(body)[0] ?? "") },
    });
  });
});
