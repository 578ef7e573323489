import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import {
  connectToDps,
  connectToHub,
  dpsTopics,
  parseAnswer,
  provision,
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

describe("an answer of a hub", () => {
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
});
