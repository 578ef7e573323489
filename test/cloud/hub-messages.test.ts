import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import { textWith } from "./matchers.ts";
import type { CloudMessages, MessageSpec } from "./hub-messages.ts";
import { parsePropertyBag } from "./property-bag.ts";
import { askAdmin } from "./test-admin.ts";
import { connectNew, messagesOf } from "./test-hub-device.ts";

let cloud: Cloud;
let messages: CloudMessages;

beforeAll(async () => {
  cloud = await startCloud();
  ({ messages } = cloud.levers.hub("test"));
});
afterAll(async () => cloud[Symbol.asyncDispose]());

/** Connected and listening. */
async function online(deviceId: string, ...[overrides]: DropFirstTwo): ReturnType<typeof connectNew> {
  const device = await connectNew(cloud, deviceId, overrides);
  await device.client.subscribeAsync(messagesOf(deviceId), { qos: 1 });
  return device;
}
type DropFirstTwo = Parameters<typeof connectNew> extends [unknown, unknown, ...infer Rest] ? Rest : never;

/** A device that takes messages and never acknowledges. */
const stubborn = { customHandleAcks: (): void => {} };

async function gone(deviceId: string, afterSeq: number): Promise<void> {
  await cloud.waitFor((event) => event.kind === "disconnect" && event.clientId === deviceId, 2000, afterSeq);
}

async function settled(messageId: string): Promise<unknown> {
  return cloud.waitFor((event) => event.kind === "message-settled" && event.messageId === messageId);
}

describe("a message is refused with", () => {
  it.each<[number, MessageSpec, object, string]>([
    [400, { body: "a", bodyBase64: "YQ==" }, {}, "one only"],
    [400, { bodyBase64: "%" }, {}, "bodyBase64"],
    [400, { messageId: "" }, {}, "messageId"],
    [400, { messageId: "m".repeat(129) }, {}, "messageId"],
    [400, { timeToLiveSeconds: 0 }, {}, "timeToLiveSeconds"],
    [400, { timeToLiveSeconds: 2 * 24 * 3600 + 1 }, {}, "timeToLiveSeconds"],
    [413, { body: "b".repeat(64 * 1024 + 1) }, { errorCode: 413_001 }, "64 KB"],
    [413, { body: "b".repeat(64 * 1024 - 1), properties: { p: "v" } }, { errorCode: 413_001 }, "64 KB"],
  ])("%i: %j", async (status, body, numbers, words) => {
    cloud.levers.putDevice("test", "target", {});
    const answer = await askAdmin(cloud, "POST", "/hubs/test/devices/target/messages", body);
    expect(answer).toMatchObject({ status, body: { ...numbers, error: textWith(words) } });
    expect(messages.waiting("target")).toEqual([]);
  });

  it("403004 when 50 are waiting, until one is gone", () => {
    cloud.levers.putDevice("test", "full", {});
    for (let n = 0; n < 50; n += 1) messages.send("full", { body: "b".repeat(64 * 1024) });
    expect(() => messages.send("full", {})).toThrow(
      expect.objectContaining({ httpStatus: 403, errorCode: 403_004 }),
    );
    expect(messages.purge("full")).toBe(50);
    expect(messages.send("full", {}).deliveryCount).toBe(0);
  });

  it("404 for a device that is not there", async () => {
    expect(await askAdmin(cloud, "POST", "/hubs/test/devices/stranger/messages", {})).toMatchObject({
      status: 404,
      body: { errorCode: 404_001 },
    });
  });
});

describe("a message", () => {
  it("arrives with every property in its topic, and is complete with the PUBACK", async () => {
    await using device = await online("reader");
    messages.send("reader", {
      body: "go",
      messageId: "m 1",
      correlationId: "c/1",
      userId: "boss",
      contentType: "text/plain",
      contentEncoding: "utf-8",
      timeToLiveSeconds: 60,
      ack: "full",
      properties: { "a key": "ü&=", none: null, empty: "" },
    });
    const { topic, body, qos } = await device.next("devices/reader/messages/devicebound/");
    expect({ body, qos }).toEqual({ body: "go", qos: 1 });
    const bag = topic.slice("devices/reader/messages/devicebound/".length);
    expect(bag).toMatch(/^%24\.mid=m%201&%24\.to=%2Fdevices%2Freader%2Fmessages%2FdeviceBound&/);
    expect(bag).toMatch(/&iothub-ack=full&a%20key=%C3%BC%26%3D&none&empty=$/);
    expect(parsePropertyBag(bag)).toMatchObject({
      "$.cid": "c/1",
      "$.uid": "boss",
      "$.ct": "text/plain",
      "$.ce": "utf-8",
      "$.exp": textWith("T"),
    });
    expect(await settled("m 1")).toMatchObject({ outcome: "Success" });
    expect(messages.waiting("reader")).toEqual([]);
  });

  it("may be any bytes, and has neither expiry nor acknowledgement in its topic by itself", async () => {
    await using device = await online("byter");
    const bytes = Promise.withResolvers<Buffer>();
    device.client.on("message", (_topic: string, payload: Buffer) => bytes.resolve(payload));
    messages.send("byter", { bodyBase64: Buffer.from([0, 255, 128]).toString("base64"), messageId: "m" });
    expect(await bytes.promise).toEqual(Buffer.from([0, 255, 128]));
    expect((await device.next("devices/")).topic).toBe(
      "devices/byter/messages/devicebound/%24.mid=m&%24.to=%2Fdevices%2Fbyter%2Fmessages%2FdeviceBound",
    );
  });

  it("waits for a device that is away and comes in order; a kept session need not subscribe again", async () => {
    const { lastSeq } = cloud.journal;
    {
      await using device = await online("sleeper");
      await device.client.endAsync();
    }
    await gone("sleeper", lastSeq);
    messages.send("sleeper", { body: "1" });
    messages.send("sleeper", { body: "2" });
    await using device = await connectNew(cloud, "sleeper");
    expect((await device.next("devices/")).body).toBe("1");
    expect((await device.next("devices/")).body).toBe("2");
  });

  it("is complete once sent where the device subscribed with QoS 0", async () => {
    await using device = await connectNew(cloud, "modest");
    await device.client.subscribeAsync(messagesOf("modest"), { qos: 0 });
    messages.send("modest", { messageId: "once" });
    expect((await device.next("devices/")).qos).toBe(0);
    expect(await settled("once")).toMatchObject({ outcome: "Success" });
  });

  it("that is not acknowledged stays, comes once on each connection, and is given up after ten", async () => {
    messages.send(cloud.levers.putDevice("test", "deaf", {}).deviceId, {
      messageId: "again",
      ack: "negative",
    });
    for (let delivery = 1; delivery <= 10; delivery += 1) {
      const { lastSeq } = cloud.journal;
      await using device = await online("deaf", stubborn);
      const sent = await cloud.waitFor(({ kind }) => kind === "message-sent", 2000, lastSeq);
      expect(sent).toMatchObject({ messageId: "again", deliveryCount: delivery });
      messages.send("deaf", { messageId: `other ${delivery}` });
      expect(messages.waiting("deaf")[0]).toMatchObject({ messageId: "again", deliveryCount: delivery });
      await device.client.endAsync(true);
      await gone("deaf", lastSeq);
      const again = cloud.journal
        .events(lastSeq)
        .filter((event) => event.kind === "message-sent" && event.messageId === "again");
      expect(again).toHaveLength(1);
    }
    await using last = await online("deaf", stubborn);
    expect(last.client.connected).toBe(true);
    expect(await settled("again")).toMatchObject({ outcome: "DeliveryCountExceeded" });
    expect(messages.feedback()).toContainEqual(
      expect.objectContaining({ originalMessageId: "again", statusCode: "DeliveryCountExceeded" }),
    );
  });

  it("is lost when the device comes with a clean session, or is deleted", async () => {
    cloud.levers.putDevice("test", "forgetful", {});
    messages.send("forgetful", { messageId: "cleaned", ack: "negative" });
    await using device = await online("forgetful", { clean: true });
    expect(await settled("cleaned")).toMatchObject({ outcome: "Purged" });
    messages.send("forgetful", { body: "new" });
    expect((await device.next("devices/")).body).toBe("new");
    cloud.levers.deleteDevice("test", "forgetful");
    expect(messages.waiting("forgetful")).toEqual([]);
  });

  it("expires after an hour, or when it was told to", async () => {
    cloud.levers.putDevice("test", "absent", {});
    messages.send("absent", { messageId: "minute", timeToLiveSeconds: 60, ack: "full" });
    messages.send("absent", { messageId: "hour" });
    cloud.levers.setClockOffset(60_000);
    expect(await settled("minute")).toMatchObject({ outcome: "Expired" });
    expect(messages.waiting("absent")).toMatchObject([{ messageId: "hour" }]);
    cloud.levers.setClockOffset(3_600_000);
    expect(await settled("hour")).toMatchObject({ outcome: "Expired" });
    cloud.levers.setClockOffset(0);
  });
});

it("feedback is kept as it was asked for", async () => {
  await using device = await online("acker");
  for (const ack of ["none", "positive", "negative", "full"] as const) {
    messages.send("acker", { messageId: `taken ${ack}`, ack });
    await settled(`taken ${ack}`);
  }
  await device.client.unsubscribeAsync(messagesOf("acker"));
  for (const ack of ["none", "positive", "negative", "full"] as const) {
    messages.send("acker", { messageId: `left ${ack}`, ack });
  }
  expect(await askAdmin(cloud, "GET", "/hubs/test/devices/acker/messages")).toMatchObject({
    body: [{ messageId: "left none" }, {}, {}, { messageId: "left full", ack: "full" }],
  });
  expect(await askAdmin(cloud, "DELETE", "/hubs/test/devices/acker/messages")).toMatchObject({
    body: { totalMessagesPurged: 4 },
  });
  expect(await askAdmin(cloud, "GET", "/hubs/test/feedback")).toMatchObject({ body: messages.feedback() });
  const mine = messages
    .feedback()
    .filter(({ deviceId }) => deviceId === "acker")
    .map(({ originalMessageId, statusCode }) => `${originalMessageId}: ${statusCode}`);
  expect(mine).toEqual([
    "taken positive: Success",
    "taken full: Success",
    "left negative: Purged",
    "left full: Purged",
  ]);
});
