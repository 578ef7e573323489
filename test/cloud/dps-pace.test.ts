import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import { connectToDps, dpsTopics, parseAnswer, provision } from "./test-device.ts";
import { httpsDevice, type HttpsDevice } from "./test-dps-https.ts";

let cloud: Cloud;
let key: string;
let device: HttpsDevice;
let now = Date.now();

beforeEach(async () => {
  now = Date.now();
  cloud = await startCloud({ pollAfterSeconds: 7, now: () => now });
  key = cloud.levers.enrollments.put({ registrationId: "gateway-1" }).primaryKey;
  device = httpsDevice(cloud, "gateway-1", key);
});
afterEach(async () => cloud[Symbol.asyncDispose]());

const codeOf = ({ status, body }: { status: number; body: string }): [number, number | undefined] => [
  status,
  parseAnswer(body).errorCode,
];

describe("throttling", () => {
  it("answers 429 with Retry-After to the sixth poll within 10 s and forgets after them", async () => {
    const { operationId = "" } = parseAnswer((await device.register()).body);
    for (let poll = 1; poll <= 5; poll += 1) expect((await device.poll(operationId)).status).toBe(200);
    const sixth = await device.poll(operationId);
    expect(codeOf(sixth)).toEqual([429, 429001]);
    expect(sixth.headers["retry-after"]).toBe("7");
    now += 10_000;
    expect((await device.poll(operationId)).status).toBe(200);
  });

  it("counts each device's polls apart, and register calls apart from polls", async () => {
    const { operationId = "" } = parseAnswer((await device.register()).body);
    for (let poll = 1; poll <= 6; poll += 1) await device.poll(operationId);
    expect((await device.register()).status).toBe(202);
    const { primaryKey } = cloud.levers.enrollments.put({ registrationId: "gateway-2" });
    expect((await httpsDevice(cloud, "gateway-2", primaryKey).provision()).status).toBe(200);
  });

  it("answers 429 to register calls of all devices above so many a minute, and polls go on", async () => {
    cloud.levers.setPace({ registersPerMinute: 2 });
    const { primaryKey } = cloud.levers.enrollments.put({ registrationId: "gateway-2" });
    const { operationId = "" } = parseAnswer((await device.register()).body);
    await device.register();
    const third = await httpsDevice(cloud, "gateway-2", primaryKey).register();
    expect([codeOf(third), third.headers["retry-after"]]).toEqual([[429, 429001], "7"]);
    expect((await device.poll(operationId)).status).toBe(200);
    now += 60_000;
    expect((await device.register()).status).toBe(202);
  });

  it("is told over MQTT in the topic", async () => {
    cloud.levers.setPace({ registersPerMinute: 0 });
    await using connected = await connectToDps(cloud, "gateway-1", key);
    await connected.client.subscribeAsync(dpsTopics.answers, { qos: 1 });
    const { status, topic } = await connected.ask(dpsTopics.register);
    expect([status, topic.endsWith("&retry-after=7")]).toEqual([429, true]);
  });
});

describe("an operation", () => {
  it("is unknown after its time, and the device registers again", async () => {
    cloud.levers.setPace({ operationLifetimeSeconds: 120 });
    const { operationId = "" } = parseAnswer((await device.register()).body);
    now += 119_999;
    expect((await device.poll(operationId)).status).toBe(200);
    now += 1;
    expect(codeOf(await device.poll(operationId))).toEqual([404, 404203]);
    expect((await device.provision()).status).toBe(200);
  });

  it("is told as waiting as often as wanted, as assigning or as unassigned, and as final for ever after", async () => {
    cloud.levers.setPace({ assigningAnswers: 3, waitingStatus: "unassigned" });
    const answers = [await device.register()];
    const { operationId = "" } = parseAnswer(answers[0]?.body ?? "");
    for (let poll = 1; poll <= 4; poll += 1) answers.push(await device.poll(operationId));
    expect(answers.map(({ body }) => parseAnswer(body).status)).toEqual([
      "unassigned",
      "unassigned",
      "unassigned",
      "assigned",
      "assigned",
    ]);
    expect(answers.map(({ headers }) => headers["retry-after"])).toEqual([
      "7",
      "7",
      "7",
      undefined,
      undefined,
    ]);
  });

  it("may be over with the register call", async () => {
    cloud.levers.setPace({ assigningAnswers: 0 });
    expect(parseAnswer((await device.register()).body)).toMatchObject({ status: "assigned" });
  });
});

describe("an api-version", () => {
  it.each(["2017-08-31-preview", "2018-04-01"])(
    "as old as %s keeps a device in its first hub",
    async (apiVersion) => {
      await provision(cloud, "gateway-1", key);
      cloud.levers.moveEnrollment("gateway-1", "production");
      const old = httpsDevice(cloud, "gateway-1", key, { apiVersion });
      const { body } = await old.provision();
      expect(body.registrationState).toMatchObject({ assignedHub: cloud.hub("test").host });
      const { body: moved } = await device.provision();
      expect(moved.registrationState).toMatchObject({
        assignedHub: cloud.hub("production").host,
        substatus: "deviceDataMigrated",
      });
      expect((await old.provision()).body.registrationState).toMatchObject({
        assignedHub: cloud.hub("production").host,
      });
    },
  );

  it.each(["2018-09-01-preview", "2018-11-01", "2019-03-31", "2021-06-01"])(
    "as new as %s lets it move",
    async (apiVersion) => {
      const { body } = await httpsDevice(cloud, "gateway-1", key, { apiVersion }).provision();
      expect(body.registrationState).toMatchObject({ substatus: "initialAssignment" });
      cloud.levers.moveEnrollment("gateway-1", "production");
      const moved = await httpsDevice(cloud, "gateway-1", key, { apiVersion }).provision();
      expect(moved.body.registrationState).toMatchObject({ substatus: "deviceDataMigrated" });
    },
  );
});
