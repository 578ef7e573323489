import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import type { FaultRule } from "./fault-spec.ts";
import { connectToDps, connectToHub, provision, refusalOf } from "./test-device.ts";

let cloud: Cloud;
let key: string;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0 });
  key = cloud.levers.enrollments.put({ registrationId: "gateway-1" }).primaryKey;
  await provision(cloud, "gateway-1", key);
});
afterEach(() => cloud.faults.clear());
afterAll(async () => cloud[Symbol.asyncDispose]());

async function call(method: string, path: string, body?: unknown): Promise<{ status: number; body: string }> {
  const sent = body === undefined ? {} : { body: JSON.stringify(body) };
  const response = await fetch(`${cloud.adminUrl}${path}`, { method, ...sent });
  return { status: response.status, body: await response.text() };
}

describe("a fault", () => {
  it("strikes one device and leaves the others alone", async () => {
    const other = cloud.levers.enrollments.put({ registrationId: "gateway-2" }).primaryKey;
    cloud.faults.add({
      clientId: "gateway-2",
      when: { at: "packet", packet: "connect" },
      do: { act: "connack", returnCode: 3 },
      times: "always",
    });
    expect(await refusalOf(connectToDps(cloud, "gateway-1", key))).toBe(0);
    expect(await refusalOf(connectToDps(cloud, "gateway-2", other))).toBe(3);
    expect(await refusalOf(connectToDps(cloud, "gateway-2", other))).toBe(3);
  });

  it("ends when it is removed, and cannot be removed twice", async () => {
    const { id } = cloud.faults.add({
      when: { at: "packet", packet: "connect" },
      do: { act: "connack", returnCode: 3 },
      times: "always",
    });
    expect(await refusalOf(connectToDps(cloud, "gateway-1", key))).toBe(3);
    cloud.faults.remove(id);
    expect(await refusalOf(connectToDps(cloud, "gateway-1", key))).toBe(0);
    expect(() => cloud.faults.remove(id)).toThrow(`no fault ${id}`);
  });
});

describe("the admin API", () => {
  it("takes no half of a script", async () => {
    const good = { when: { at: "connection" }, do: { act: "silence" } };
    expect(await call("POST", "/faults", [good, { when: { at: "connection" } }])).toMatchObject({
      status: 400,
    });
    expect(await call("DELETE", "/faults/one")).toMatchObject({ status: 400 });
    expect(await call("DELETE", "/faults/99")).toMatchObject({ status: 404 });
    expect(cloud.faults.list()).toEqual([]);
  });

  it("adds, lists and removes faults", async () => {
    const rule = { when: { at: "packet", packet: "connect" }, do: { act: "connack", returnCode: 3 } };
    expect(await call("POST", "/faults", [rule, rule])).toMatchObject({ status: 200 });
    expect(await refusalOf(connectToDps(cloud, "gateway-1", key))).toBe(3);
    const [struck, waiting] = cloud.faults.list();
    expect([struck?.struck, waiting?.struck]).toEqual([1, 0]);
    expect(JSON.parse((await call("GET", "/faults")).body)).toEqual({
      seed: cloud.faults.seed,
      faults: [struck, waiting],
    });
    expect(await call("DELETE", `/faults/${waiting?.id}`)).toMatchObject({ status: 204 });
    expect(await refusalOf(connectToDps(cloud, "gateway-1", key))).toBe(0);
    expect(await call("DELETE", "/faults")).toMatchObject({ status: 204 });
    expect(cloud.faults.list()).toEqual([]);
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
