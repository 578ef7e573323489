import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRoot, createSelfSigned } from "../cloud/test-pki.ts";
import { openWorkshop, type GatewaySettings, type Workshop } from "./azure-gateway.ts";

let workshop: Workshop;
const deviceKey = randomBytes(32).toString("base64");

beforeAll(async () => {
  workshop = await openWorkshop();
}, 180_000);
afterAll(async () => workshop[Symbol.asyncDispose]());

/** Everything the SDK can do at a hub over MQTT, from the first twin to the last message. */
async function liveThrough(settings: GatewaySettings): Promise<number> {
  const { cloud } = workshop;
  const { registrationId } = settings;
  await using gateway = await workshop.start(settings);
  expect(await gateway.until("assigned")).toMatchObject({
    hub: cloud.hub("test").host,
    deviceId: registrationId,
  });
  expect(await gateway.until("twin")).toMatchObject({ desired: { site: "Hall 7" } });
  await gateway.until("ready");
  expect(cloud.levers.twin("test", registrationId).reported.properties).toEqual({ rack: 7 });
  expect(cloud.levers.telemetry("test", registrationId)).toMatchObject([
    {
      body: '{"degrees":21.5}',
      properties: { hall: "7 & 8", "$.mid": "telemetry-1", "$.ct": "application/json", "$.ce": "utf-8" },
    },
  ]);

  const hub = cloud.levers.hub("test");
  const call = { methodName: "restart", payload: { inSeconds: 5 }, connectTimeoutInSeconds: 5 };
  expect(await hub.methods.call(registrationId, call)).toEqual({
    status: 202,
    payload: { restarting: { inSeconds: 5 } },
  });
  expect(await gateway.until("method")).toMatchObject({ name: "restart", payload: { inSeconds: 5 } });

  hub.messages.send(registrationId, {
    body: "hello",
    messageId: "first",
    properties: { colour: "red & blue" },
    ack: "full",
  });
  expect(await gateway.until("message")).toMatchObject({
    body: "hello",
    messageId: "first",
    properties: { colour: "red & blue" },
    isCompleted: true,
  });
  hub.messages.send(registrationId, { body: "goodbye" });
  await gateway.until("closed");
  expect(hub.messages.waiting(registrationId)).toEqual([]);
  expect(hub.messages.feedback()).toContainEqual(
    expect.objectContaining({ originalMessageId: "first", deviceId: registrationId, statusCode: "Success" }),
  );
  return await gateway.exitCode;
}

/** What the SDK can do at a hub over HTTPS: telemetry, and messages that it fetches. */
async function writeAndListen(settings: GatewaySettings): Promise<number> {
  const { cloud } = workshop;
  const { registrationId } = settings;
  await using gateway = await workshop.start(settings);
  await gateway.until("ready");
  expect(cloud.levers.telemetry("test", registrationId)).toMatchObject([
    { body: '{"degrees":21.5}', properties: { hall: "7 & 8", "$.mid": "telemetry-1" } },
  ]);
  const { messages } = cloud.levers.hub("test");
  messages.send(registrationId, { body: "goodbye", messageId: "last", ack: "positive" });
  expect(await gateway.until("message")).toMatchObject({
    body: "goodbye",
    messageId: "last",
    isCompleted: true,
  });
  await gateway.until("closed");
  expect(messages.feedback()).toContainEqual(
    expect.objectContaining({ originalMessageId: "last", deviceId: registrationId, statusCode: "Success" }),
  );
  return await gateway.exitCode;
}

const initialTwin = { desired: { site: "Hall 7" } };

describe.concurrent("Azure's Node SDK with a symmetric key", () => {
  test.each([
    ["mqtt", "mqtt"],
    ["mqtt-ws", "mqtt-ws"],
    ["http", "mqtt-ws"],
  ] as const)("provisions over %s and lives at its hub over %s", async (dpsTransport, hubTransport) => {
    const registrationId = `key-${dpsTransport}`;
    workshop.cloud.levers.enrollments.put({ registrationId, primaryKey: deviceKey, initialTwin });
    expect(await liveThrough({ registrationId, dpsTransport, hubTransport, credential: { deviceKey } })).toBe(
      0,
    );
  });

  test("needs nothing but HTTPS for telemetry and messages", async () => {
    const registrationId = "key-https-only";
    workshop.cloud.levers.enrollments.put({ registrationId, primaryKey: deviceKey });
    const over = { dpsTransport: "http", hubTransport: "http" } as const;
    expect(await writeAndListen({ registrationId, ...over, credential: { deviceKey } })).toBe(0);
  });

  test.each(["mqtt", "mqtt-ws", "http"] as const)(
    "is told about a wrong key over %s",
    async (dpsTransport) => {
      const registrationId = `wrong-${dpsTransport}`;
      workshop.cloud.levers.enrollments.put({ registrationId });
      await using gateway = await workshop.start({
        registrationId,
        dpsTransport,
        hubTransport: "mqtt",
        credential: { deviceKey },
      });
      expect(await gateway.until("failed")).toMatchObject({
        name: "UnauthorizedError",
        answer: { errorCode: 401002 },
      });
    },
  );
});

describe.concurrent("Azure's Node SDK with a certificate", () => {
  test.each([
    ["mqtt", "mqtt"],
    ["mqtt-ws", "mqtt-ws"],
    ["http", "mqtt"],
  ] as const)(
    "enrolled by itself provisions over %s and lives at its hub over %s",
    async (dpsTransport, hubTransport) => {
      const registrationId = `own-${dpsTransport}`;
      const { certPem, keyPem } = await createSelfSigned(registrationId);
      workshop.cloud.levers.enrollments.put({
        registrationId,
        attestation: { type: "x509", primary: certPem },
        initialTwin,
      });
      expect(
        await liveThrough({ registrationId, dpsTransport, hubTransport, credential: { certPem, keyPem } }),
      ).toBe(0);
    },
  );

  test.each([
    ["mqtt", "mqtt"],
    ["mqtt-ws", "mqtt-ws"],
    ["http", "mqtt"],
  ] as const)(
    "of a group's CA provisions over %s and lives at its hub over %s",
    async (dpsTransport, hubTransport) => {
      const root = await createRoot("Maker");
      const line = await root.intermediate("Line 1");
      workshop.cloud.levers.enrollments.putGroup({
        groupId: `line-${dpsTransport}`,
        attestation: { type: "x509", signingCertificates: [line.certPem] },
        initialTwin,
      });
      const registrationId = `made-${dpsTransport}`;
      const { chainPem, keyPem } = await line.leaf(registrationId);
      expect(
        await liveThrough({
          registrationId,
          dpsTransport,
          hubTransport,
          credential: { certPem: chainPem, keyPem },
        }),
      ).toBe(0);
    },
  );

  test("needs nothing but HTTPS for telemetry and messages", async () => {
    const registrationId = "own-https-only";
    const { certPem, keyPem } = await createSelfSigned(registrationId);
    workshop.cloud.levers.enrollments.put({
      registrationId,
      attestation: { type: "x509", primary: certPem },
    });
    const over = { dpsTransport: "http", hubTransport: "http" } as const;
    expect(await writeAndListen({ registrationId, ...over, credential: { certPem, keyPem } })).toBe(0);
  });

  test("of nobody is told so", async () => {
    const { certPem, keyPem } = await createSelfSigned("stranger");
    await using gateway = await workshop.start({
      registrationId: "stranger",
      dpsTransport: "mqtt",
      hubTransport: "mqtt",
      credential: { certPem, keyPem },
    });
    expect(await gateway.until("failed")).toMatchObject({ name: "UnauthorizedError" });
  });
});
