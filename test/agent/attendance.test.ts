import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { JsonObject } from "../../src/platform/json.ts";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { ManualClock } from "../manual-clock.ts";
import { Gateway } from "./gateway.ts";

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
});

afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

async function startConnected(clock?: ManualClock, isWaitedFor = true): Promise<Gateway> {
  const gateway = new Gateway(cloud, clock === undefined ? {} : { clock });
  cloud.levers.enrollments.put({
    registrationId: gateway.registrationId,
    primaryKey: gateway.key,
    hub: "test",
    initialTwin: { desired: { site: { name: "Hall 7" } } },
  });
  await gateway.start();
  await gateway.connected();
  if (isWaitedFor) await listening(gateway);
  return gateway;
}

async function listening(gateway: Gateway, afterSeq = 0): Promise<void> {
  await cloud.waitFor(
    (event) =>
      event.kind === "subscribe" &&
      event.clientId === gateway.registrationId &&
      JSON.stringify(event).includes("devicebound"),
    5_000,
    afterSeq,
  );
}

const call = async (gateway: Gateway, methodName: string, payload: JsonObject | null | string = null) =>
  cloud.levers.hub("test").methods.call(gateway.registrationId, {
    methodName,
    payload,
    connectTimeoutInSeconds: 5,
  });

const reported = (gateway: Gateway) => cloud.levers.twin("test", gateway.registrationId).reported.properties;

describe("a direct method", () => {
  test("of an unknown name is answered 404 with the names that there are", async () => {
    await using gateway = await startConnected();
    const { status, payload } = await call(gateway, "__proto__");
    expect(status).toBe(404);
    expect(JSON.stringify(payload)).toMatch(/ping, status, reprovision, apply, restart/);
  });

  test.each(["ping", "status", "reprovision", "apply", "restart"])(
    "%s with a payload that is not legal is answered 400 and does nothing",
    async (name) => {
      await using gateway = await startConnected();
      const { status, payload } = await call(gateway, name, { command: "rm -rf /" });
      expect(status).toBe(400);
      expect(JSON.stringify(payload)).toMatch(/expected no payload/);
      expect(gateway.restarts).toEqual([]);
      expect(gateway.events("hub.left")).toEqual([]);
    },
  );

  test("ping is answered with the version, status with the sentence", async () => {
    await using gateway = await startConnected();
    expect(await call(gateway, "ping")).toEqual({
      status: 200,
      payload: { pong: true, version: "0.0.0-test" },
    });
    const { payload } = await call(gateway, "status", {});
    expect(payload).toMatchObject({ isConnected: true, desiredVersion: 2, says: gateway.lastHealth });
  });

  test("reprovision is answered before the session is left for DPS, and the device comes back", async () => {
    await using gateway = await startConnected();
    const seq = cloud.journal.lastSeq;
    expect(await call(gateway, "reprovision")).toMatchObject({ status: 202 });
    await cloud.waitFor(
      (event) => event.kind === "register" && event.clientId === gateway.registrationId,
      5_000,
      seq,
    );
    await gateway.until(() => gateway.events("hub.connected").length === 2, "it came back");
    expect(gateway.events("provisioning.started").at(-1)?.["because"]).toMatch(
      /a direct method asked for it/,
    );
  });

  test("apply has the twin applied again", async () => {
    await using gateway = await startConnected();
    const before = gateway.health.length;
    expect(await call(gateway, "apply")).toMatchObject({ status: 202 });
    await gateway.until(() => gateway.health.length > before, "it looked again");
  });

  test("restart asks the process to end", async () => {
    await using gateway = await startConnected();
    expect(await call(gateway, "restart")).toMatchObject({ status: 202 });
    await expect.poll(() => gateway.restarts).toEqual(["a direct method"]);
  });
});

test("a hub that refuses methods costs nothing else: the twin is followed, messages come, status tells", async () => {
  cloud.faults.add({
    endpoint: "test",
    when: { at: "packet", packet: "subscribe", topic: "$iothub/methods/" },
    do: { act: "suback", returnCode: 128 },
    times: 1,
  });
  await using gateway = await startConnected();
  await gateway.until(() => gateway.events("hub.degraded").length === 1, "the refusal is told");
  cloud.levers.hub("test").messages.send(gateway.registrationId, { body: "hello" });
  await gateway.until(() => gateway.events("message.received").length === 1, "a message came");
  cloud.levers.patchTwin("test", gateway.registrationId, { desired: { site: { name: "Hall 8" } } });
  await gateway.until(() => gateway.lastHealth.includes("desired version 3"), "the twin is followed");
  expect(gateway.lastHealth).toMatch(/warning: the server refused the subscription \$iothub\/methods/);
});

describe("messages from the cloud", () => {
  test("are completed and counted, also those that waited while the device was away", async () => {
    await using gateway = await startConnected();
    await gateway.stop();
    const { messages } = cloud.levers.hub("test");
    for (let index = 0; index < 20; index += 1) messages.send(gateway.registrationId, { body: `m${index}` });
    expect(messages.waiting(gateway.registrationId)).toHaveLength(20);
    await gateway.start();
    await gateway.until(() => gateway.events("message.received").length === 20, "all messages came");
    await expect.poll(() => messages.waiting(gateway.registrationId)).toEqual([]);
    expect(gateway.desk.counters.list()).toContainEqual({ name: "cloud_messages", labels: {}, value: 20 });
  });
});

const message = (body: string) => ({
  body,
  contentType: "application/json",
  contentEncoding: "utf-8",
  properties: { colour: "rot & blau" },
});
const arrived = (gateway: Gateway) => cloud.levers.telemetry("test", gateway.registrationId);

describe("telemetry", () => {
  test("bears its content type, encoding and properties", async () => {
    await using gateway = await startConnected();
    const seq = cloud.journal.lastSeq;
    gateway.desk.outbox.put(message('{"a":1}'));
    await cloud.waitFor((event) => event.kind === "telemetry", 5_000, seq);
    expect(arrived(gateway)).toMatchObject([
      { body: '{"a":1}', properties: { "$.ct": "application/json", "$.ce": "utf-8", colour: "rot & blau" } },
    ]);
  });

  test("waits while there is no line, in order, and the oldest go when there are too many", async () => {
    const clock = new ManualClock();
    await using gateway = await startConnected(clock);
    await cloud.levers.setLine("test", false);
    await gateway.until(() => gateway.health.at(-1)?.at === "waiting", "the line was cut");
    for (let index = 0; index < 130; index += 1) gateway.desk.outbox.put(message(String(index)));
    expect(gateway.desk.outbox).toMatchObject({ waiting: 100, dropped: 30 });
    await cloud.levers.setLine("test", true);
    await clock.passUntil(() => gateway.events("hub.connected").length === 2);
    await expect.poll(() => arrived(gateway).length, { timeout: 5_000 }).toBe(100);
    expect(arrived(gateway).map(({ body }) => body)).toEqual(
      Array.from({ length: 100 }, (_, index) => String(index + 30)),
    );
    expect(gateway.desk.outbox).toMatchObject({ waiting: 0, sent: 100 });
  });
});

describe("what a program reports", () => {
  test("stands in a section of its own, and another program's stays as it is", async () => {
    await using gateway = await startConnected();
    const told = async (seq: number) =>
      cloud.waitFor(
        (event) => event.kind === "twin-patch" && event.clientId === gateway.registrationId,
        5_000,
        seq,
      );
    let seq = cloud.journal.lastSeq;
    gateway.desk.programs.put("modem", { signal: -71, sim: { ready: true } });
    await told(seq);
    seq = cloud.journal.lastSeq;
    gateway.desk.programs.put("camera", { constructor: "x" });
    await told(seq);
    seq = cloud.journal.lastSeq;
    gateway.desk.programs.put("modem", { sim: null });
    await told(seq);
    expect(reported(gateway)["programs"]).toEqual({ modem: { signal: -71 }, camera: { constructor: "x" } });
    expect(reported(gateway)["site"]).toMatchObject({ ac: 200 });
    seq = cloud.journal.lastSeq;
    gateway.desk.programs.put("modem", null);
    await told(seq);
    expect(reported(gateway)["programs"]).toEqual({ camera: { constructor: "x" } });
  });

  test("while the device is away is told when it comes back, and known sections survive a restart", async () => {
    await using gateway = await startConnected();
    let seq = cloud.journal.lastSeq;
    gateway.desk.programs.put("camera", { on: true });
    await cloud.waitFor((event) => event.kind === "twin-patch", 5_000, seq);
    await gateway.stop();
    seq = cloud.journal.lastSeq;
    await gateway.start();
    gateway.desk.programs.put("modem", { signal: 1 });
    gateway.desk.programs.put("modem", { signal: 2, band: 7 });
    await cloud.waitFor((event) => event.kind === "twin-patch" && event.body.includes("modem"), 5_000, seq);
    expect(reported(gateway)["programs"]).toEqual({ camera: { on: true }, modem: { signal: 2, band: 7 } });
  });

  test("is refused where too much waits already", async () => {
    await using gateway = await startConnected();
    await cloud.levers.setLine("test", false);
    await gateway.until(() => gateway.health.at(-1)?.at === "waiting", "the line was cut");
    const taken = Array.from({ length: 70 }, () => gateway.desk.programs.put("modem", { a: 1 }));
    await cloud.levers.setLine("test", true);
    expect(taken.filter(Boolean)).toHaveLength(64);
  });
});
