import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import { textMatching, textWith } from "./matchers.ts";
import { askAdmin, type AdminAnswer } from "./test-admin.ts";
import type { TestDevice } from "./test-device.ts";
import { connectNew, methodCalls } from "./test-hub-device.ts";

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud();
});
afterAll(async () => cloud[Symbol.asyncDispose]());

async function call(deviceId: string, body: unknown): Promise<AdminAnswer> {
  return askAdmin(cloud, "POST", `/hubs/test/devices/${deviceId}/methods`, body);
}

async function listening(deviceId: string): Promise<TestDevice> {
  const device = await connectNew(cloud, deviceId);
  await device.client.subscribeAsync(methodCalls, { qos: 1 });
  return device;
}

/** Waits for the next call. @returns its topic, body and request ID. */
async function nextCall(device: TestDevice): Promise<{ topic: string; body: string; rid: string }> {
  const { topic, body } = await device.next("$iothub/methods/POST/");
  return { topic, body, rid: /\$rid=(.+)$/.exec(topic)?.[1] ?? "" };
}

async function respond(device: TestDevice, rid: string, body: string, status = 200): Promise<void> {
  await device.client.publishAsync(`$iothub/methods/res/${status}/?$rid=${rid}`, body, { qos: 1 });
}

describe("a method call fails with", () => {
  it.each<[number, unknown, string]>([
    [400, {}, "methodName"],
    [400, { methodName: "" }, "methodName"],
    [400, { methodName: "x", colour: 1 }, "colour"],
    [400, { methodName: "x", responseTimeoutInSeconds: 4 }, "responseTimeoutInSeconds"],
    [400, { methodName: "x", responseTimeoutInSeconds: 301 }, "responseTimeoutInSeconds"],
    [400, { methodName: "x", connectTimeoutInSeconds: -1 }, "connectTimeoutInSeconds"],
    [400, { methodName: "x", connectTimeoutInSeconds: 301 }, "connectTimeoutInSeconds"],
    [413, { methodName: "x", payload: "p".repeat(128 * 1024 - 1) }, "128 KB"],
  ])("%i for %j", async (status, body, words) => {
    await using device = await listening("called-wrongly");
    expect(await call("called-wrongly", body)).toMatchObject({ status, body: { error: textWith(words) } });
    expect(device.order.filter((topic) => topic.includes("methods"))).toEqual([]);
  });

  it("404 for a device that is not there", async () => {
    expect(await call("stranger", { methodName: "x" })).toMatchObject({
      status: 404,
      body: { errorCode: 404_001 },
    });
  });

  const offline = { status: 404, body: { errorCode: 404_103, error: textWith("not online") } };

  it("404103 for a device that is offline, or has not subscribed, or no longer", async () => {
    {
      await using device = await connectNew(cloud, "silent");
      expect(await call("silent", { methodName: "x" })).toMatchObject(offline);
      await device.client.subscribeAsync(methodCalls, { qos: 1 });
      await device.client.unsubscribeAsync(methodCalls);
      expect(await call("silent", { methodName: "x" })).toMatchObject(offline);
      await device.client.subscribeAsync(methodCalls, { qos: 1 });
      await device.client.endAsync();
    }
    await cloud.waitFor((event) => event.kind === "disconnect" && event.clientId === "silent");
    expect(await call("silent", { methodName: "x" })).toMatchObject(offline);
  });

  it("404103 when the device has not come within the connect timeout", async () => {
    cloud.levers.putDevice("test", "late", {});
    const answer = cloud.levers
      .hub("test")
      .methods.call("late", { methodName: "x", connectTimeoutInSeconds: 20 });
    cloud.levers.setClockOffset(20_000);
    await expect(answer).rejects.toMatchObject({ httpStatus: 404, errorCode: 404_103 });
    cloud.levers.setClockOffset(0);
  });

  it("504101 when the device does not answer in time; a late answer is nobody's", async () => {
    await using device = await listening("slow");
    const answer = call("slow", { methodName: "think", responseTimeoutInSeconds: 5 });
    const { rid } = await nextCall(device);
    cloud.levers.setClockOffset(5_000);
    expect(await answer).toMatchObject({ status: 504, body: { errorCode: 504_101 } });
    cloud.levers.setClockOffset(0);
    await respond(device, rid, "{}");
    expect(await cloud.waitFor((event) => event.kind === "method-answer" && event.rid === rid)).toMatchObject(
      { isAwaited: false },
    );
  });

  it.each([
    ["nothing", ""],
    ["no JSON", "done"],
    ["more than 128 KB", JSON.stringify("p".repeat(128 * 1024))],
  ])("502 when the device answers with %s", async (name, body) => {
    await using device = await listening(`babbler-${name.replaceAll(" ", "-")}`);
    const answer = call(device.client.options.clientId ?? "", { methodName: "x" });
    await respond(device, (await nextCall(device)).rid, body);
    expect(await answer).toMatchObject({ status: 502 });
  });

  it("504101 when only another connection, or another request, was answered", async () => {
    const first = await listening("reborn");
    const answer = call("reborn", { methodName: "x", responseTimeoutInSeconds: 5 });
    const { rid } = await nextCall(first);
    await using second = await listening("reborn");
    await respond(second, rid, "1");
    await respond(second, "ffff", "2");
    await cloud.waitFor((event) => event.kind === "method-answer" && event.rid === "ffff");
    cloud.levers.setClockOffset(5_000);
    expect(await answer).toMatchObject({ status: 504 });
    cloud.levers.setClockOffset(0);
  });
});

describe("a method call", () => {
  it("reaches the device with its name encoded, an opaque ID and its payload as JSON", async () => {
    await using device = await listening("callee");
    const answer = call("callee", { methodName: "réglage/à 5%", payload: { level: [1, null] } });
    const { topic, body, rid } = await nextCall(device);
    expect(topic).toBe(`$iothub/methods/POST/${encodeURIComponent("réglage/à 5%")}/?$rid=${rid}`);
    expect(rid).toEqual(textMatching(/^[0-9a-f]{8}$/));
    expect(JSON.parse(body)).toEqual({ level: [1, null] });
    await respond(device, rid, "null");
    expect(await answer).toEqual({ status: 200, body: { status: 200, payload: null } });
  });

  it("without payload carries null", async () => {
    await using device = await listening("callee");
    const answer = call("callee", { methodName: "ping" });
    const { body, rid } = await nextCall(device);
    expect(body).toBe("null");
    await respond(device, rid, "{}");
    await answer;
  });

  it.each([200, 404, 500])("gives the device's own status %i to the caller", async (status) => {
    await using device = await listening("callee");
    const answer = call("callee", { methodName: "x", payload: "p".repeat(128 * 1024 - 2) });
    await respond(device, (await nextCall(device)).rid, '{"done":true}', status);
    expect(await answer).toEqual({ status: 200, body: { status, payload: { done: true } } });
  });

  it("waits for a device that subscribes within the connect timeout", async () => {
    cloud.levers.putDevice("test", "arriving", {});
    const answer = call("arriving", { methodName: "x", connectTimeoutInSeconds: 30 });
    await using device = await listening("arriving");
    await respond(device, (await nextCall(device)).rid, "7");
    expect(await answer).toMatchObject({ status: 200, body: { payload: 7 } });
  });

  it("finds its answer also when another was answered first", async () => {
    await using device = await listening("juggler");
    const answers = [1, 2].map(async (payload) => call("juggler", { methodName: "x", payload }));
    for (const { rid, body } of [await nextCall(device), await nextCall(device)].toReversed()) {
      await respond(device, rid, body);
    }
    expect(await Promise.all(answers)).toMatchObject([{ body: { payload: 1 } }, { body: { payload: 2 } }]);
  });
});
