import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import {
  connectToDps,
  connectToHub,
  dpsTopics,
  provision,
  refusalOf,
  twinTopics,
  type TestDevice,
} from "./test-device.ts";

let cloud: Cloud;
let key: string;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0 });
  key = cloud.levers.enrollments.put({ registrationId: "gateway-1" }).primaryKey;
  await provision(cloud, "gateway-1", key);
});
afterEach(() => cloud.faults.clear());
afterAll(async () => cloud[Symbol.asyncDispose]());

const places = ["dps", "test"] as const;
type Place = (typeof places)[number];

async function connectTo(
  place: Place,
  options: Parameters<typeof connectToDps>[3] = {},
): Promise<TestDevice> {
  return place === "dps"
    ? connectToDps(cloud, "gateway-1", key, options)
    : connectToHub(cloud, "test", "gateway-1", key, options);
}

/** Connected to the hub and subscribed to answers. */
async function connectForTwin(): Promise<TestDevice> {
  const device = await connectToHub(cloud, "test", "gateway-1", key);
  await device.client.subscribeAsync([twinTopics.answers, twinTopics.desired], { qos: 1 });
  return device;
}

/** Whether this has happened yet; the answer to a later request shows that it had its time. */
async function hasHappened(event: Promise<unknown>): Promise<boolean> {
  return Promise.race([event.then(() => true), Promise.resolve(false)]);
}

describe.each(places)("a device of %s", (endpoint) => {
  it.each([1, 2, 3, 4, 5, 6, 128, 255])(
    "meets CONNACK %i, and the service never hears of it",
    async (returnCode) => {
      cloud.faults.add({
        endpoint,
        when: { at: "packet", packet: "connect" },
        do: { act: "connack", returnCode },
      });
      const { lastSeq } = cloud.journal;
      expect(await refusalOf(connectTo(endpoint))).toBe(returnCode);
      expect(cloud.journal.events(lastSeq).map(({ kind }) => kind)).not.toContain("connect");
      expect(await refusalOf(connectTo(endpoint))).toBe(0);
    },
  );

  it("gets no CONNACK at all", async () => {
    cloud.faults.add({ endpoint, when: { at: "packet", packet: "connack" }, do: { act: "swallow" } });
    await expect(connectTo(endpoint, { connectTimeout: 200 })).rejects.toThrow("connack timeout");
  });

  it.each(["close", "reset"] as const)("is cut off by %s instead of a CONNACK", async (how) => {
    cloud.faults.add({ endpoint, when: { at: "packet", packet: "connack" }, do: { act: "drop", how } });
    await expect(connectTo(endpoint)).rejects.toThrow(
      how === "reset" ? "ECONNRESET" : "closed without a word",
    );
  });

  it("has its filter refused", async () => {
    const filter = endpoint === "dps" ? dpsTopics.answers : twinTopics.answers;
    cloud.faults.add({
      endpoint,
      when: { at: "packet", packet: "subscribe", topic: filter },
      do: { act: "suback", returnCode: 0x80 },
    });
    await using device = await connectTo(endpoint);
    await expect(device.client.subscribeAsync(filter)).rejects.toThrow("Unspecified error");
  });

  it("finds garbage on the line", async () => {
    cloud.faults.add({
      endpoint,
      when: { at: "packet", packet: "connack" },
      do: { act: "bytes", hex: "f00000" },
    });
    await expect(connectTo(endpoint)).rejects.toThrow(/Invalid|not supported|header/i);
  });

  it("has its pings swallowed and gives up by itself", async () => {
    cloud.faults.add({
      endpoint,
      when: { at: "packet", packet: "pingresp" },
      do: { act: "swallow" },
      times: "always",
    });
    await using device = await connectTo(endpoint, { keepalive: 1 });
    const { promise, resolve } = Promise.withResolvers<string>();
    device.client.on("error", ({ message }) => resolve(message));
    expect(await promise).toBe("Keepalive timeout");
  });

  it("lives with one byte at a time in both directions", async () => {
    for (const direction of ["fromDevice", "toDevice"] as const) {
      cloud.faults.add({
        endpoint,
        when: { at: "byte", byte: 1, direction },
        do: { act: "trickle", bytes: 1, everyMs: 0 },
      });
    }
    await using device = await connectTo(endpoint);
    let chunks = 0;
    device.client.stream.on("data", () => (chunks += 1));
    const filter = endpoint === "dps" ? dpsTopics.answers : twinTopics.answers;
    await device.client.subscribeAsync(filter, { qos: 1 });
    const answer = await device.ask(endpoint === "dps" ? dpsTopics.register : twinTopics.get);
    expect([200, 202]).toContain(answer.status);
    expect(chunks).toBeGreaterThan(answer.body.length);
  });
});

describe("a hub", () => {
  it("withholds the PUBACK of telemetry that it has kept", async () => {
    cloud.faults.add({ endpoint: "test", when: { at: "packet", packet: "puback" }, do: { act: "swallow" } });
    await using device = await connectForTwin();
    const { lastSeq } = cloud.journal;
    const sent = device.client.publishAsync("devices/gateway-1/messages/events/", "hello", { qos: 1 });
    await cloud.waitFor(({ kind }) => kind === "telemetry", 5000, lastSeq);
    expect(await device.ask(twinTopics.get)).toMatchObject({ status: 200 });
    expect(await hasHappened(sent)).toBe(false);
    sent.catch(() => {});
  });

  it("says everything twice", async () => {
    cloud.faults.add({
      when: { at: "packet", packet: "publish", direction: "toDevice", topic: "$iothub/twin/PATCH/" },
      do: { act: "duplicate" },
    });
    await using device = await connectForTwin();
    cloud.levers.patchTwin("test", "gateway-1", { desired: { a: Date.now() } });
    const first = await device.next("$iothub/twin/PATCH/");
    expect(await device.next("$iothub/twin/PATCH/")).toEqual(first);
  });

  it("lets a desired change be lost", async () => {
    cloud.faults.add({
      when: { at: "packet", packet: "publish", direction: "toDevice", topic: "$iothub/twin/PATCH/" },
      do: { act: "swallow" },
    });
    await using device = await connectForTwin();
    cloud.levers.patchTwin("test", "gateway-1", { desired: { a: 1 } });
    cloud.levers.patchTwin("test", "gateway-1", { desired: { a: 2 } });
    expect((await device.next("$iothub/twin/PATCH/")).body).toContain('"a":2');
  });

  it("goes silent after its second answer, in both directions, and the connection stays open", async () => {
    cloud.faults.add({
      when: { at: "packet", packet: "publish", direction: "toDevice", nth: 2 },
      do: { act: "silence" },
    });
    await using device = await connectForTwin();
    expect(await device.ask(twinTopics.get)).toMatchObject({ status: 200 });
    const lost = device.ask(twinTopics.get);
    await cloud.waitFor(({ kind }) => kind === "fault", 5000);
    const { lastSeq } = cloud.journal;
    const sent = device.client.publishAsync("devices/gateway-1/messages/events/", "unheard", { qos: 1 });
    cloud.levers.dropConnection("test", "gateway-1");
    await cloud.waitFor(({ kind }) => kind === "disconnect", 5000, lastSeq);
    expect(await hasHappened(Promise.race([lost, sent, device.closed]))).toBe(false);
    expect(cloud.journal.events(lastSeq).map(({ kind }) => kind)).toEqual(["disconnect"]);
    sent.catch(() => {});
  });

  it.each([
    [3, true, 3],
    [3, false, 2],
  ])("cuts the connection at packet %i from the device (delivered: %s)", async (nth, deliver, kept) => {
    const events = "devices/gateway-1/messages/events/";
    cloud.faults.add({
      when: { at: "packet", packet: "publish", nth, topic: events },
      do: { act: "drop", how: "reset", deliver },
    });
    await using device = await connectForTwin();
    const { lastSeq } = cloud.journal;
    for (let count = 1; count < nth; count += 1)
      await device.client.publishAsync(events, `${count}`, { qos: 1 });
    device.client.publish(events, `${nth}`, { qos: 1 });
    await device.closed;
    await cloud.waitFor(({ kind }) => kind === "disconnect", 5000, lastSeq);
    expect(cloud.journal.events(lastSeq).filter(({ kind }) => kind === "telemetry")).toHaveLength(kept);
  });

  it("cuts the connection in the middle of a packet, after the given byte", async () => {
    await using device = await connectForTwin();
    const connackAndSuback = 4 + 6;
    await device[Symbol.asyncDispose]();
    cloud.faults.add({
      when: { at: "byte", byte: connackAndSuback + 20, direction: "toDevice" },
      do: { act: "drop", how: "close" },
    });
    await using second = await connectForTwin();
    let bytes = 0;
    second.client.stream.on("data", (chunk: Buffer) => (bytes += chunk.length));
    second.client.publish(twinTopics.get.replace("{rid}", "1"), "", { qos: 0 });
    await second.closed;
    expect(bytes).toBe(20);
    expect(second.order).toEqual([]);
  });

  it("is so slow that an answer takes its time", async () => {
    await using device = await connectForTwin();
    cloud.faults.add({
      when: { at: "packet", packet: "publish", direction: "toDevice" },
      do: { act: "trickle", bytes: 10, everyMs: 10 },
    });
    const startedAtMs = performance.now();
    const answer = await device.ask(twinTopics.get);
    const sentBytes = answer.topic.length + answer.body.length;
    expect(performance.now() - startedAtMs).toBeGreaterThan((sentBytes / 10 - 1) * 9);
  });

  it("lets one packet wait, and those behind it", async () => {
    await using device = await connectForTwin();
    cloud.faults.add({ when: { at: "request", operation: "twin-get" }, do: { act: "delay", delayMs: 100 } });
    const startedAtMs = performance.now();
    const [first, second] = await Promise.all([
      device.ask(twinTopics.get),
      device.ask(twinTopics.patch, "{}"),
    ]);
    expect(performance.now() - startedAtMs).toBeGreaterThan(95);
    expect(device.order.filter((entry) => entry !== "puback")).toEqual([first.topic, second.topic]);
  });
});
