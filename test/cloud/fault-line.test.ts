import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import type { FaultRule } from "./fault-spec.ts";
import {
  connectToDps,
  connectToHub,
  dpsTopics,
  parseAnswer,
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

async function connectForRegistration(): Promise<TestDevice> {
  const device = await connectToDps(cloud, "gateway-1", key);
  await device.client.subscribeAsync(dpsTopics.answers, { qos: 1 });
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
    await expect(connectTo(endpoint)).rejects.toThrow(how === "reset" ? "ECONNRESET" : "Couldn't connect");
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

describe("an answer of DPS", () => {
  it.each([
    ["register", 400, undefined],
    ["register", 401, 401002],
    ["register", 404, 404201],
    ["register", 429, 429001],
    ["register", 500, undefined],
    ["register", 503, undefined],
    ["poll", 404, 404203],
    ["poll", 429, 429001],
    ["poll", 503, undefined],
  ] as const)("to %s is %i with errorCode %s", async (operation, status, errorCode) => {
    await using device = await connectForRegistration();
    const first = await device.ask(dpsTopics.register);
    cloud.faults.add({
      endpoint: "dps",
      when: { at: "request", operation },
      do: { act: "answer", status, retryAfterSeconds: 7, ...(errorCode === undefined ? {} : { errorCode }) },
    });
    const { lastSeq } = cloud.journal;
    const pollTopic = dpsTopics.poll(parseAnswer(first.body).operationId ?? "");
    const answer = await device.ask(operation === "register" ? dpsTopics.register : pollTopic);
    expect(answer).toMatchObject({ status, qos: 1 });
    expect(answer.topic).toMatch(/^\$dps\/registrations\/res\/\d+\/\?\$rid=[^&]+&retry-after=7$/);
    expect(parseAnswer(answer.body)).toMatchObject({ errorCode: errorCode ?? status * 1000 });
    expect(device.order.slice(-2)).toEqual(["puback", answer.topic]);
    expect(cloud.journal.events(lastSeq).map(({ kind }) => kind)).toEqual(["fault"]);
  });

  it.each([
    ["empty", ""],
    ["not JSON", "<html>Bad Gateway</html>"],
    ["cut short", '{"operationId":"5.31'],
    ["of another type", "[]"],
  ])("is %s", async (_name, body) => {
    cloud.faults.add({
      endpoint: "dps",
      when: { at: "request", operation: "register" },
      do: { act: "answer", status: 202, body },
    });
    await using device = await connectForRegistration();
    expect(await device.ask(dpsTopics.register)).toMatchObject({ status: 202, body });
  });

  it.each(["failed", "disabled", "unassigned"])("says %s with status 200", async (status) => {
    const body = JSON.stringify({
      operationId: "5.1",
      status,
      registrationState: { status, errorCode: 400209 },
    });
    cloud.faults.add({
      when: { at: "request", operation: "poll" },
      do: { act: "answer", status: 200, body },
    });
    expect(await provision(cloud, "gateway-1", key)).toMatchObject({ status: 200, body: { status } });
  });

  it("is garbled on its way although DPS has done its work", async () => {
    cloud.faults.add({
      when: { at: "packet", packet: "publish", direction: "toDevice", topic: "$dps/registrations/res/" },
      do: { act: "payload", payload: "\u0000" },
    });
    await using device = await connectForRegistration();
    expect(await device.ask(dpsTopics.register)).toMatchObject({ status: 202, body: "\u0000" });
    expect(cloud.journal.events().findLast(({ kind }) => kind === "register")).toMatchObject({ status: 202 });
  });
});

describe("a hub", () => {
  it.each([
    ["twin-get", twinTopics.get, 404],
    ["twin-get", twinTopics.get, 429],
    ["twin-get", twinTopics.get, 500],
    ["twin-patch", twinTopics.patch, 400],
    ["twin-patch", twinTopics.patch, 429],
    ["twin-patch", twinTopics.patch, 503],
  ] as const)("answers %s with an error, with QoS %#", async (operation, topic, status) => {
    cloud.faults.add({ endpoint: "test", when: { at: "request", operation }, do: { act: "answer", status } });
    await using device = await connectForTwin();
    const before = cloud.levers.twin("test", "gateway-1").reported.version;
    const answer = await device.ask(topic, '{"a":1}', status === 429 ? 0 : 1);
    expect(answer).toMatchObject({ status, qos: status === 429 ? 0 : 1 });
    expect(parseAnswer(answer.body)).toMatchObject({ errorCode: status * 1000 });
    expect(cloud.levers.twin("test", "gateway-1").reported.version).toBe(before);
    expect(await device.ask(topic, '{"a":1}')).toMatchObject({
      status: operation === "twin-get" ? 200 : 204,
    });
  });

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

describe("a fault", () => {
  it("strikes one device and leaves the others alone", async () => {
    const other = cloud.levers.enrollments.put({ registrationId: "gateway-2" }).primaryKey;
    cloud.faults.add({
      clientId: "gateway-2",
      when: { at: "packet", packet: "connect" },
      do: { act: "connack", returnCode: 3 },
      times: "always",
    });
    expect(await refusalOf(connectTo("dps"))).toBe(0);
    expect(await refusalOf(connectToDps(cloud, "gateway-2", other))).toBe(3);
    expect(await refusalOf(connectToDps(cloud, "gateway-2", other))).toBe(3);
  });

  it("ends when it is removed, and cannot be removed twice", async () => {
    const { id } = cloud.faults.add({
      when: { at: "packet", packet: "connect" },
      do: { act: "connack", returnCode: 3 },
      times: "always",
    });
    expect(await refusalOf(connectTo("dps"))).toBe(3);
    cloud.faults.remove(id);
    expect(await refusalOf(connectTo("dps"))).toBe(0);
    expect(() => cloud.faults.remove(id)).toThrow(`no fault ${id}`);
  });
});

describe("chance", () => {
  const chance: FaultRule = {
    when: { at: "chance", probability: 0.3, direction: "fromDevice" },
    do: { act: "swallow" },
    times: "always",
  };

  /** Which of 30 messages got through. */
  async function survivors(faultSeed?: string): Promise<readonly string[]> {
    await using cloud = await startCloud({
      pollAfterSeconds: 0,
      ...(faultSeed === undefined ? {} : { faultSeed }),
    });
    const { primaryKey } = cloud.levers.enrollments.put({ registrationId: "gateway-1" });
    await provision(cloud, "gateway-1", primaryKey);
    cloud.faults.add({ endpoint: "test", ...chance });
    expect(cloud.journal.events().at(-1)).toMatchObject({ kind: "fault-seed", seed: cloud.faults.seed });
    await using device = await connectToHub(cloud, "test", "gateway-1", primaryKey);
    for (let count = 1; count <= 30; count += 1) {
      device.client.publish("devices/gateway-1/messages/events/", `${count}`, { qos: 0 });
    }
    await device.client.endAsync();
    await cloud.waitFor(({ kind, endpoint }) => kind === "disconnect" && endpoint === "test");
    return cloud.levers.telemetry("test", "gateway-1").map(({ body }) => body);
  }

  it("repeats itself with the same seed and differs with another", async () => {
    const first = await survivors("42");
    expect(await survivors("42")).toEqual(first);
    expect(await survivors("43")).not.toEqual(first);
    expect(first.length).toBeGreaterThan(10);
    expect(first.length).toBeLessThan(30);
  });

  it("draws a seed of its own when none is given", async () => {
    expect(await survivors()).not.toEqual(await survivors());
  });
});
