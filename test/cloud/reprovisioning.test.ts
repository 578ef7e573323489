import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import { createKey } from "./hub.ts";
import { connectToHub, provision, refusalOf } from "./test-device.ts";

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0 });
  cloud.levers.setPace({ pollsPer10Seconds: 100 });
});
afterAll(async () => cloud[Symbol.asyncDispose]());

const initialTwin = { tags: { site: "north" }, desired: { level: 1 } };
const deviceIds = (hub: string): string[] => cloud.levers.devices(hub).map(({ deviceId }) => deviceId);

async function stateOf(registrationId: string, key: string): Promise<unknown> {
  const { body } = await provision(cloud, registrationId, key);
  return body.registrationState;
}

describe("registering again", () => {
  it("never keeps the first hub under the policy never", async () => {
    const { primaryKey } = cloud.levers.enrollments.put({
      registrationId: "sticky",
      reprovisionPolicy: "never",
    });
    await stateOf("sticky", primaryKey);
    cloud.levers.moveEnrollment("sticky", "production");
    expect(await stateOf("sticky", primaryKey)).toMatchObject({ assignedHub: cloud.hub("test").host });
    expect(deviceIds("production")).not.toContain("sticky");
  });

  it("without a move returns the same device with its twin untouched", async () => {
    const { primaryKey } = cloud.levers.enrollments.put({ registrationId: "loyal", initialTwin });
    await stateOf("loyal", primaryKey);
    cloud.levers.patchTwin("test", "loyal", { desired: { level: 5 } });
    expect(await stateOf("loyal", primaryKey)).toMatchObject({
      deviceId: "loyal",
      substatus: "initialAssignment",
    });
    expect(cloud.levers.twin("test", "loyal").desired).toEqual({ properties: { level: 5 }, version: 3 });
  });

  it("brings the enrollment's new key to the hub", async () => {
    const { primaryKey, secondaryKey } = cloud.levers.enrollments.put({ registrationId: "rekeyed" });
    await stateOf("rekeyed", primaryKey);
    const next = createKey();
    cloud.levers.enrollments.change("rekeyed", { primaryKey: next });
    expect(await refusalOf(connectToHub(cloud, "test", "rekeyed", next))).toBe(5);
    await stateOf("rekeyed", next);
    expect(await refusalOf(connectToHub(cloud, "test", "rekeyed", next))).toBe(0);
    expect(await refusalOf(connectToHub(cloud, "test", "rekeyed", secondaryKey))).toBe(0);
    expect(await refusalOf(connectToHub(cloud, "test", "rekeyed", primaryKey))).toBe(5);
  });

  it("makes a deleted device anew with the initial twin", async () => {
    const { primaryKey } = cloud.levers.enrollments.put({ registrationId: "reborn", initialTwin });
    await stateOf("reborn", primaryKey);
    cloud.levers.patchTwin("test", "reborn", { desired: { level: 5 } });
    cloud.levers.deleteDevice("test", "reborn");
    expect(await stateOf("reborn", primaryKey)).toMatchObject({ assignedHub: cloud.hub("test").host });
    expect(cloud.levers.twin("test", "reborn").desired.properties).toEqual({ level: 1 });
  });

  it("after a move takes the whole twin along under the policy migrate", async () => {
    const { primaryKey } = cloud.levers.enrollments.put({ registrationId: "mover", initialTwin });
    await stateOf("mover", primaryKey);
    await using device = await connectToHub(cloud, "test", "mover", primaryKey);
    cloud.levers.patchTwin("test", "mover", { desired: { level: 5 } });
    cloud.levers.moveEnrollment("mover", "production");
    expect(await stateOf("mover", primaryKey)).toMatchObject({
      assignedHub: cloud.hub("production").host,
      substatus: "deviceDataMigrated",
    });
    await device.closed;
    expect(deviceIds("test")).not.toContain("mover");
    expect(cloud.levers.twin("production", "mover")).toMatchObject({
      desired: { properties: { level: 5 } },
      tags: { site: "north" },
    });
    expect(await refusalOf(connectToHub(cloud, "test", "mover", primaryKey))).toBe(5);
    expect(await refusalOf(connectToHub(cloud, "production", "mover", primaryKey))).toBe(0);
  });

  it("after a move and a deletion in the old hub starts with the initial twin", async () => {
    const { primaryKey } = cloud.levers.enrollments.put({ registrationId: "orphan", initialTwin });
    await stateOf("orphan", primaryKey);
    cloud.levers.patchTwin("test", "orphan", { desired: { level: 5 } });
    cloud.levers.moveEnrollment("orphan", "production");
    cloud.levers.deleteDevice("test", "orphan");
    expect(await stateOf("orphan", primaryKey)).toMatchObject({ substatus: "deviceDataReset" });
    expect(cloud.levers.twin("production", "orphan").desired.properties).toEqual({ level: 1 });
  });

  it("after a move starts with the initial twin under the policy reset", async () => {
    const { primaryKey } = cloud.levers.enrollments.put({
      registrationId: "fresh",
      initialTwin,
      reprovisionPolicy: "reset",
    });
    await stateOf("fresh", primaryKey);
    cloud.levers.patchTwin("test", "fresh", { desired: { level: 5 } });
    cloud.levers.moveEnrollment("fresh", "production");
    expect(await stateOf("fresh", primaryKey)).toMatchObject({ substatus: "deviceDataReset" });
    expect(deviceIds("test")).not.toContain("fresh");
    expect(cloud.levers.twin("production", "fresh").desired.properties).toEqual({ level: 1 });
  });

  it("gives the device the ID that its enrollment names", async () => {
    const { primaryKey } = cloud.levers.enrollments.put({ registrationId: "serial-7", deviceId: "Pump-7" });
    expect(await stateOf("serial-7", primaryKey)).toMatchObject({
      registrationId: "serial-7",
      deviceId: "Pump-7",
    });
    expect(await refusalOf(connectToHub(cloud, "test", "pump-7", primaryKey))).toBe(5);
    expect(await refusalOf(connectToHub(cloud, "test", "Pump-7", primaryKey))).toBe(0);
  });
});
