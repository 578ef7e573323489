import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { anyText } from "./matchers.ts";
import { startCloud, type Cloud } from "./cloud.ts";
import { connectToHub, provision, twinTopics, type TestDevice } from "./test-device.ts";
import { isJsonObject, parseJson } from "./json.ts";
import { createTwin, mergePatch, patchSection } from "./twin.ts";

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0 });
});
afterAll(async () => cloud[Symbol.asyncDispose]());

async function online(id: string, initial: Record<string, number> = {}): Promise<TestDevice> {
  const { primaryKey } = cloud.levers.enrollments.put({
    registrationId: id,
    initialTwin: { desired: initial, tags: { secret: true } },
  });
  await provision(cloud, id, primaryKey);
  const device = await connectToHub(cloud, "test", id, primaryKey);
  await device.client.subscribeAsync(twinTopics.answers, { qos: 1 });
  return device;
}

function nested(levels: number): unknown {
  return levels === 0 ? 1 : { a: nested(levels - 1) };
}

describe("a reported patch is answered with 400 and changes nothing when it is", () => {
  it.each([
    ["empty", ""],
    ["malformed", '{"a":'],
    ["no object", "[1]"],
    ["null", "null"],
    ["with a dot in a key", '{"a.b":1}'],
    ["with a dollar in a key", '{"a":{"$b":1}}'],
    ["with a space in a key", '{"a b":1}'],
    ["with a control character in a key", String.raw`{"a\u0001":1}`],
    ["with an empty key", '{"":1}'],
    ["with a key above 1 KB", JSON.stringify({ ["k".repeat(1025)]: 1 })],
    ["with a string above 4 KB", JSON.stringify({ a: "x".repeat(4097) })],
    ["with an integer beyond the range", '{"a":4503599627370496}'],
    ["nested too deeply", JSON.stringify({ a: nested(11) })],
    [
      "larger than 32 KB",
      JSON.stringify(Object.fromEntries(Array.from({ length: 9 }, (_, n) => [`k${n}`, "x".repeat(4000)]))),
    ],
  ])("%s", async (name, body) => {
    await using device = await online(`faulty-${name.replaceAll(" ", "-")}`);
    const answer = await device.ask(twinTopics.patch, body);
    expect(answer.topic).toMatch(/^\$iothub\/twin\/res\/400\/\?\$rid=[^&]+$/);
    expect(JSON.parse(answer.body)).toEqual({
      errorCode: 400004,
      message: anyText,
      trackingId: anyText,
      timestampUtc: anyText,
      info: null,
    });
    expect(JSON.parse((await device.ask(twinTopics.get)).body)).toMatchObject({ reported: { $version: 1 } });
  });
});

describe("a device's twin", () => {
  it("is given without tags, with both versions", async () => {
    await using device = await online("reader", { level: 1 });
    const answer = await device.ask(twinTopics.get, " ");
    expect(answer.topic).toMatch(/^\$iothub\/twin\/res\/200\/\?\$rid=[^&]+$/);
    expect(JSON.parse(answer.body)).toEqual({
      desired: { level: 1, $version: 2 },
      reported: { $version: 1 },
    });
  });

  it("merges reported patches, deletes by null, and counts each one", async () => {
    await using device = await online("reporter");
    const first = await device.ask(twinTopics.patch, '{"a":{"x":1,"y":2},"b":[1]}');
    expect(first.topic).toMatch(/^\$iothub\/twin\/res\/204\/\?\$rid=[^&]+&\$version=2$/);
    expect(first.body).toBe("");
    await device.ask(twinTopics.patch, '{"a":{"x":null,"z":3},"c":null}');
    expect((await device.ask(twinTopics.patch, "{}")).topic).toMatch(/&\$version=4$/);
    expect(cloud.levers.twin("test", "reporter").reported).toEqual({
      properties: { a: { y: 2, z: 3 }, b: [1] },
      version: 4,
    });
  });

  it("is answered at the QoS that was granted, to a request at any QoS", async () => {
    await using device = await online("modest");
    expect((await device.ask(twinTopics.get, "", 0)).qos).toBe(1);
    const [granted] = await device.client.subscribeAsync(twinTopics.answers, { qos: 0 });
    expect(granted?.qos).toBe(0);
    expect((await device.ask(twinTopics.get)).qos).toBe(0);
    expect((await device.client.subscribeAsync(twinTopics.answers, { qos: 2 }))[0]?.qos).toBe(1);
  });

  it("is kept through reconnecting", async () => {
    await using device = await online("constant");
    await device.ask(twinTopics.patch, '{"a":1}');
    await device.client.endAsync();
    await using again = await online("constant");
    expect(JSON.parse((await again.ask(twinTopics.get)).body)).toMatchObject({ reported: { a: 1 } });
  });
});

describe("a desired patch", () => {
  it("is refused to the operator when the twin cannot hold it", async () => {
    const device = await online("spared");
    await device[Symbol.asyncDispose]();
    expect(() => cloud.levers.patchTwin("test", "spared", { desired: { "a.b": 1 } })).toThrow("a.b");
    expect(cloud.levers.twin("test", "spared").desired.version).toBe(1);
  });

  it("is not sent to a device that has not subscribed", async () => {
    await using device = await online("deaf");
    cloud.levers.patchTwin("test", "deaf", { desired: { level: 1 } });
    await device.ask(twinTopics.get);
    expect(device.order.filter((topic) => topic.includes("PATCH"))).toEqual([]);
  });

  it("is sent as patched, with nulls and its version, and to this device only", async () => {
    await using device = await online("wisher", { level: 1 });
    await using neighbour = await online("neighbour");
    await device.client.subscribeAsync(twinTopics.desired, { qos: 1 });
    await neighbour.client.subscribeAsync(twinTopics.desired, { qos: 1 });
    cloud.levers.patchTwin("test", "wisher", { desired: { level: null, mode: "on" } });
    const push = await device.next("$iothub/twin/PATCH/");
    expect(push.topic).toBe("$iothub/twin/PATCH/properties/desired/?$version=3");
    expect(JSON.parse(push.body)).toEqual({ level: null, mode: "on", $version: 3 });
    await neighbour.ask(twinTopics.get);
    expect(neighbour.order.filter((topic) => topic.includes("PATCH"))).toEqual([]);
  });
});

describe("telemetry", () => {
  it("is kept with its properties, and a retain flag becomes one", async () => {
    await using device = await online("talker");
    const topic = "devices/talker/messages/events/$.ct=application%2Fjson&colour=dark%20red&flag";
    await device.client.publishAsync(topic, '{"t":1}', { qos: 1, retain: true });
    await cloud.waitFor((event) => event.kind === "telemetry" && event.clientId === "talker");
    expect(cloud.levers.telemetry("test", "talker")).toMatchObject([
      {
        body: '{"t":1}',
        properties: { "$.ct": "application/json", colour: "dark red", flag: "", "mqtt-retain": "true" },
      },
    ]);
  });

  it("leaves out the will of a device that said goodbye", async () => {
    const { primaryKey } = cloud.levers.enrollments.put({ registrationId: "polite" });
    await provision(cloud, "polite", primaryKey);
    const device = await connectToHub(cloud, "test", "polite", primaryKey, {
      will: { topic: "devices/polite/messages/events/", payload: Buffer.from("gone"), qos: 0, retain: false },
    });
    const { lastSeq } = cloud.journal;
    await device.client.endAsync();
    await cloud.waitFor((event) => event.kind === "disconnect" && event.clientId === "polite", 2000, lastSeq);
    expect(cloud.levers.telemetry("test", "polite")).toEqual([]);
  });

  it("includes the will of a device that vanished", async () => {
    const { primaryKey } = cloud.levers.enrollments.put({ registrationId: "faller" });
    await provision(cloud, "faller", primaryKey);
    const device = await connectToHub(cloud, "test", "faller", primaryKey, {
      will: { topic: "devices/faller/messages/events/", payload: Buffer.from("gone"), qos: 0, retain: false },
    });
    device.client.stream.destroy();
    const event = await cloud.waitFor((event) => event.kind === "telemetry" && event.clientId === "faller");
    expect(event).toMatchObject({ body: "gone", properties: { "iothub-MessageType": "Will" } });
  });
});

describe("merging", () => {
  it("follows RFC 7396 for objects and replaces arrays", () => {
    expect(
      mergePatch({ a: 1, b: { c: 2, d: 3 }, e: [1] }, { a: null, b: { c: null }, e: [2], f: { g: null } }),
    ).toEqual({
      b: { d: 3 },
      e: [2],
      f: {},
    });
  });

  it("keeps a property called __proto__ an ordinary one", () => {
    const patch = parseJson('{"__proto__":{"polluted":1}}');
    const merged = mergePatch({}, isJsonObject(patch) ? patch : {});
    expect(Object.keys(merged)).toEqual(["__proto__"]);
    expect("polluted" in {}).toBe(false);
  });

  it("takes a value at the tenth level and an integer at the edge", () => {
    const { desired } = createTwin({});
    const edge = parseJson(JSON.stringify({ a: nested(9), n: 4_503_599_627_370_495 }));
    expect(patchSection(desired, edge).status).toBe("merged");
  });
});
