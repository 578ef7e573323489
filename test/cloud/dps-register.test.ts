import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { anyText, textMatching } from "./matchers.ts";
import { startCloud, type Cloud } from "./cloud.ts";
import { connectToDps, dpsTopics, parseAnswer, provision } from "./test-device.ts";

let cloud: Cloud;
let key: string;

beforeAll(async () => {
  cloud = await startCloud();
  key = cloud.levers.enrollments.put({ registrationId: "gateway-1", payload: { site: 7 } }).primaryKey;
});
afterAll(async () => cloud[Symbol.asyncDispose]());

async function subscribed(registrationId: string, deviceKey: string, qos: 0 | 1 | 2 = 1) {
  const device = await connectToDps(cloud, registrationId, deviceKey);
  const [granted] = await device.client.subscribeAsync(dpsTopics.answers, { qos });
  return Object.assign(device, { granted: granted?.qos });
}

describe("a register call", () => {
  it.each([
    ["text that is not JSON", "{"],
    ["JSON that is no object", "[]"],
    ["another device's registration ID", '{"registrationId":"gateway-2"}'],
  ])("with %s is answered with 400", async (_name, body) => {
    await using device = await subscribed("gateway-1", key);
    expect((await device.ask(dpsTopics.register, body)).status).toBe(400);
  });

  it.each([
    ["nothing, as C# sends it", ""],
    ["a payload only", '{"payload":{"a":1}}'],
    ["a payload of null, as Python sends it", '{"payload":null,"registrationId":"gateway-1"}'],
    ["the ID in other letters", '{"registrationId":"GATEWAY-1"}'],
  ])("with %s is answered with 202", async (_name, body) => {
    await using device = await subscribed("gateway-1", key);
    expect((await device.ask(dpsTopics.register, body)).status).toBe(202);
  });

  it("gets its PUBACK first, then the answer on the byte-exact topic at the granted QoS", async () => {
    await using device = await subscribed("gateway-1", key, 2);
    expect(device.granted).toBe(1);
    device.client.publish("$dps/registrations/PUT/iotdps-register/?$rid=a-1", "", { qos: 1 });
    const answer = await device.next("$dps/registrations/res/202/");
    expect(answer).toMatchObject({ topic: "$dps/registrations/res/202/?$rid=a-1&retry-after=3", qos: 1 });
    expect(device.order).toEqual(["puback", answer.topic]);
    expect(parseAnswer(answer.body)).toEqual({
      operationId: textMatching(/^\d\.[0-9a-f]{16}\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
      status: "assigning",
    });
  });

  it("is answered at QoS 0 where that was subscribed to", async () => {
    await using device = await subscribed("gateway-1", key, 0);
    expect(await device.ask(dpsTopics.register, "", 0)).toMatchObject({ status: 202, qos: 0 });
  });

  it("leaves the device's payload in the journal", async () => {
    await using device = await subscribed("gateway-1", key);
    const { lastSeq } = cloud.journal;
    await device.ask(dpsTopics.register, '{"payload":{"serial":"x1"}}');
    const event = await cloud.waitFor(({ kind }) => kind === "register", 1000, lastSeq);
    expect(event).toMatchObject({ clientId: "gateway-1", status: 202, payload: { serial: "x1" } });
  });
});

describe("a poll", () => {
  it("for an operation that never was is answered with 404203", async () => {
    await using device = await subscribed("gateway-1", key);
    const answer = await device.ask(dpsTopics.poll("5.0000000000000000.nothing"));
    expect(answer.status).toBe(404);
    expect(parseAnswer(answer.body)).toMatchObject({
      errorCode: 404203,
      trackingId: anyText,
      message: anyText,
      timestampUtc: anyText,
    });
  });

  it("for another device's operation is answered with 404203", async () => {
    const other = cloud.levers.enrollments.put({ registrationId: "gateway-9" });
    await using device = await subscribed("gateway-1", key);
    const { operationId = "" } = parseAnswer((await device.ask(dpsTopics.register)).body);
    await using thief = await subscribed("gateway-9", other.primaryKey);
    expect((await thief.ask(dpsTopics.poll(operationId))).status).toBe(404);
  });

  it("is answered with 429001 after five within ten seconds, and works again later", async () => {
    const { primaryKey } = cloud.levers.enrollments.put({ registrationId: "eager" });
    await using device = await subscribed("eager", primaryKey);
    const { operationId = "" } = parseAnswer((await device.ask(dpsTopics.register)).body);
    const statuses: number[] = [];
    for (let count = 0; count < 5; count += 1) {
      statuses.push((await device.ask(dpsTopics.poll(operationId))).status);
    }
    expect(statuses).toEqual([200, 200, 200, 200, 200]);
    const throttled = await device.ask(dpsTopics.poll(operationId));
    expect(throttled.topic).toMatch(/^\$dps\/registrations\/res\/429\/\?\$rid=[^&]+&retry-after=3$/);
    expect(parseAnswer(throttled.body)).toMatchObject({ errorCode: 429001 });
    cloud.levers.setClockOffset(10_001);
    expect((await device.ask(dpsTopics.poll(operationId))).status).toBe(200);
    cloud.levers.setClockOffset(0);
  });

  it("hears assigning as often as it was told to, then the final state", async () => {
    cloud.levers.setPace({ assigningAnswers: 3, pollAfterSeconds: 1 });
    await using device = await subscribed("gateway-1", key);
    const first = await device.ask(dpsTopics.register);
    const { operationId = "" } = parseAnswer(first.body);
    const answers = [first];
    while (answers.at(-1)?.status === 202) answers.push(await device.ask(dpsTopics.poll(operationId)));
    cloud.levers.setPace({ assigningAnswers: 1, pollAfterSeconds: 3 });
    expect(answers.map(({ status }) => status)).toEqual([202, 202, 202, 200]);
    expect(answers.map(({ topic }) => topic.endsWith("&retry-after=1"))).toEqual([true, true, true, false]);
  });
});

describe("the final answer", () => {
  it("is failed with 400208 for an enrollment without a hub", async () => {
    const { primaryKey } = cloud.levers.enrollments.put({ registrationId: "homeless", hub: null });
    const { status, body } = await provision(cloud, "homeless", primaryKey);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      status: "failed",
      registrationState: { status: "failed", errorCode: 400208, errorMessage: anyText },
    });
    expect(cloud.levers.registrations().map(({ registrationId }) => registrationId)).not.toContain(
      "homeless",
    );
  });

  it("names the hub and the device, in the shapes that the service uses", async () => {
    const { status, body } = await provision(cloud, "gateway-1", key);
    expect(status).toBe(200);
    const date = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z$/;
    expect(body).toMatchObject({
      status: "assigned",
      registrationState: {
        registrationId: "gateway-1",
        createdDateTimeUtc: textMatching(date),
        lastUpdatedDateTimeUtc: textMatching(date),
        assignedHub: cloud.hub("test").host,
        deviceId: "gateway-1",
        status: "assigned",
        substatus: "initialAssignment",
        etag: anyText,
        payload: { site: 7 },
        symmetricKey: {},
      },
    });
  });
});
