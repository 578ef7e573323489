import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import { anyText, objectWith } from "./matchers.ts";
import { parseAnswer, type FinalAnswer } from "./test-device.ts";
import { httpsDevice } from "./test-dps-https.ts";
import { createRoot } from "./test-pki.ts";
import { startWebhook, type TestWebhook } from "./test-webhook.ts";

let cloud: Cloud;
let webhook: TestWebhook;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0, hubs: ["near", "middle", "far"] });
  cloud.levers.setPace({ pollsPer10Seconds: 1000 });
  webhook = await startWebhook();
});
afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
  await webhook[Symbol.asyncDispose]();
});

type Spec = Omit<Parameters<Cloud["levers"]["enrollments"]["put"]>[0], "registrationId">;

async function provision(registrationId: string, spec: Spec, body?: object): Promise<FinalAnswer> {
  const { primaryKey } = cloud.levers.enrollments.put({ registrationId, ...spec });
  return (await httpsDevice(cloud, registrationId, primaryKey).provision(body)).body;
}

async function hubOf(registrationId: string, spec: Spec): Promise<string | undefined> {
  const host = (await provision(registrationId, spec)).registrationState?.["assignedHub"];
  return cloud.levers.endpoints().find((endpoint) => endpoint.host === host)?.name;
}

const custom = (): Spec => ({ allocationPolicy: "custom", webhookUrl: webhook.url });
function enrollWith(webhookUrl: string): void {
  cloud.levers.enrollments.put({ registrationId: "x", allocationPolicy: "custom", webhookUrl });
}
const allocation = (hub: string, more: object = {}): { body: string } => ({
  body: JSON.stringify({ iotHubHostName: cloud.hub(hub).host, ...more }),
});

describe("an allocation fails with", () => {
  const failure = async (id: string, spec: Spec): Promise<unknown> => {
    const { status, registrationState } = await provision(id, spec);
    expect(status).toBe("failed");
    expect(cloud.levers.registrations().map(({ registrationId }) => registrationId)).not.toContain(id);
    return registrationState;
  };

  it.each<[string, Spec]>([
    ["no hub linked", { hub: null }],
    ["an unknown hub", { hub: "nowhere" }],
    ["nothing to choose from by hash", { allocationPolicy: "hashed", hubs: [] }],
    ["unknown hubs to choose from by distance", { allocationPolicy: "geoLatency", hubs: ["nowhere"] }],
    ["no webhook to ask", { allocationPolicy: "custom" }],
  ])("400208 and status failed for %s", async (_name, spec) => {
    expect(await failure("lost", spec)).toMatchObject({ errorCode: 400208, errorMessage: anyText });
  });

  it("400209 where DPS may not change the hub", async () => {
    cloud.levers.linkedHubs.setLink("near", { isAuthorized: false });
    expect(await failure("lost", { hub: "near" })).toMatchObject({ errorCode: 400209 });
    cloud.levers.linkedHubs.setLink("near", { isAuthorized: true });
  });

  it.each([
    ["an error", { status: 500, body: "" }, "Custom allocation failed with status code: 500"],
    ["a redirect", { status: 302, body: "" }, "Custom allocation failed with status code: 302"],
    ["no JSON", { body: "hello" }, "Custom allocation answered with something else than an allocation"],
    ["no hub", { body: "{}" }, "Custom allocation answered with something else than an allocation"],
    [
      "a hub of another type",
      { body: '{"iotHubHostName":7}' },
      "Custom allocation answered with something else than an allocation",
    ],
  ])("400207 for a webhook that answers with %s", async (_name, reply, errorMessage) => {
    webhook.answer(reply);
    expect(await failure("lost", custom())).toMatchObject({ errorCode: 400207, errorMessage });
  });

  it("400207 for a webhook that is not there, 400208 for a hub that is not linked", async () => {
    const gone = await startWebhook();
    await gone[Symbol.asyncDispose]();
    expect(await failure("lost", { ...custom(), webhookUrl: gone.url })).toMatchObject({ errorCode: 400207 });
    webhook.answer({ body: '{"iotHubHostName":"other.azure-devices.net"}' });
    expect(await failure("lost", custom())).toMatchObject({ errorCode: 400208 });
  });

  it("a lever's error where a webhook would be called outside this machine", () => {
    expect(() => enrollWith("https://example.com/api")).toThrow("loopback");
    expect(() => enrollWith("http://127.0.0.1.example.com/")).toThrow("loopback");
  });
});

describe("a device is allocated", () => {
  it("statically to the hub that its enrollment names, by default to the first", async () => {
    expect(await hubOf("static-1", {})).toBe("near");
    expect(await hubOf("static-2", { hub: "far" })).toBe("far");
  });

  it("by hash to one of the hubs it may choose from, always the same, evenly", async () => {
    const spec: Spec = { allocationPolicy: "hashed", hubs: ["middle", "far"] };
    const hubs: (string | undefined)[] = [];
    for (let device = 0; device < 60; device += 1) hubs.push(await hubOf(`hashed-${device}`, spec));
    const far = hubs.filter((hub) => hub === "far").length;
    expect(hubs.filter((hub) => hub === "middle").length).toBe(60 - far);
    expect(Math.min(far, 60 - far)).toBeGreaterThan(15);
    for (const device of [0, 1, 2]) expect(await hubOf(`hashed-${device}`, spec)).toBe(hubs[device]);
  });

  it("by distance to the nearest hub as the operator says, over the admin API too", async () => {
    const spec: Spec = { allocationPolicy: "geoLatency" };
    expect(await hubOf("geo", spec)).toBe("near");
    expect(await hubOf("geo-of-two", { ...spec, hubs: ["far", "middle"] })).toBe("middle");
    const url = `${cloud.adminUrl}/hubs/far/link`;
    const answer = await fetch(url, { method: "PATCH", body: '{"latencyMs":1}' });
    expect(await answer.json()).toEqual({ latencyMs: 1, isAuthorized: true });
    expect(await hubOf("geo", spec)).toBe("far");
    expect((await fetch(url.replace("far", "nowhere"))).status).toBe(404);
  });

  it("by a webhook, which sees the device's payload and its place and decides on twin and payload back", async () => {
    const initialTwin = { tags: { site: "north" }, properties: { desired: { level: 4 } } };
    webhook.answer(allocation("middle", { initialTwin, payload: { welcome: true } }));
    const before = webhook.requests.length;
    const spec = { ...custom(), hubs: ["near", "middle"], initialTwin: { desired: { level: 1 } } };
    const first = await provision("asked", spec, { payload: { model: "x" } });
    expect(first.registrationState).toMatchObject({
      assignedHub: cloud.hub("middle").host,
      payload: { welcome: true },
    });
    expect(cloud.levers.twin("middle", "asked")).toMatchObject({
      desired: { properties: { level: 4 } },
      tags: { site: "north" },
    });
    await provision("asked", spec);
    expect(webhook.requests.slice(before)).toEqual([
      {
        individualEnrollment: objectWith({ registrationId: "asked", allocationPolicy: "custom" }),
        deviceRuntimeContext: { registrationId: "asked", payload: { model: "x" }, symmetricKey: {} },
        linkedHubs: [cloud.hub("near").host, cloud.hub("middle").host],
      },
      {
        individualEnrollment: objectWith({ registrationId: "asked" }),
        deviceRuntimeContext: {
          registrationId: "asked",
          currentIotHubHostName: cloud.hub("middle").host,
          currentDeviceId: "asked",
          symmetricKey: {},
        },
        linkedHubs: [cloud.hub("near").host, cloud.hub("middle").host],
      },
    ]);
    expect(JSON.stringify(webhook.requests)).not.toContain("primaryKey");
  });

  it("by a webhook that is told the group and the certificate", async () => {
    webhook.answer(allocation("far"));
    const factory = await createRoot("Factory");
    cloud.levers.enrollments.putGroup({
      groupId: "line",
      attestation: { type: "x509", signingCertificates: [factory.certPem] },
      allocationPolicy: "custom",
      webhookUrl: webhook.url,
    });
    const { chainPem, keyPem } = await factory.leaf("member");
    await httpsDevice(cloud, "member", undefined, { cert: chainPem, key: keyPem }).provision();
    expect(webhook.requests.at(-1)).toMatchObject({
      enrollmentGroup: { groupId: "line" },
      deviceRuntimeContext: {
        registrationId: "member",
        x509: { certificateInfo: { subjectName: "CN=member" }, enrollmentGroupId: "line" },
      },
    });
    expect(cloud.levers.devices("far").map(({ deviceId }) => deviceId)).toContain("member");
  });

  it("after a webhook has taken its time, assigning meanwhile", async () => {
    const { promise, resolve } = Promise.withResolvers<{ body: string }>();
    webhook.answer(promise);
    const { primaryKey } = cloud.levers.enrollments.put({ registrationId: "patient", ...custom() });
    const device = httpsDevice(cloud, "patient", primaryKey);
    const { operationId = "" } = parseAnswer((await device.register()).body);
    for (let round = 1; round <= 3; round += 1) expect((await device.poll(operationId)).status).toBe(202);
    expect((await device.lookup()).status).toBe(404);
    resolve(allocation("near"));
    let answer = await device.poll(operationId);
    for (let round = 1; answer.status === 202 && round < 50; round += 1)
      answer = await device.poll(operationId);
    expect(parseAnswer(answer.body)).toMatchObject({ status: "assigned" });
  });
});

it("a cloud that stops does not wait for a webhook", async () => {
  const stopping = await startCloud({ pollAfterSeconds: 0 });
  webhook.answer(new Promise<never>(() => {}));
  const { primaryKey } = stopping.levers.enrollments.put({ registrationId: "late", ...custom() });
  expect((await httpsDevice(stopping, "late", primaryKey).register()).status).toBe(202);
  await stopping[Symbol.asyncDispose]();
});
