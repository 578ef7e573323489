import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import { httpsDevice, type HttpsDevice } from "./test-dps-https.ts";

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0 });
});
afterAll(async () => cloud[Symbol.asyncDispose]());

type Spec = Omit<Parameters<Cloud["levers"]["enrollments"]["put"]>[0], "registrationId">;

function enroll(registrationId: string, spec: Spec = {}): HttpsDevice {
  const initialTwin = { desired: { level: 1 }, tags: { site: "north" } };
  const { primaryKey } = cloud.levers.enrollments.put({ registrationId, initialTwin, ...spec });
  return httpsDevice(cloud, registrationId, primaryKey);
}

describe("late binding", () => {
  it.each([
    // policy, moved to production, in the old hub the device is, then substatus, hub, level
    ["migrate", false, "kept", "initialAssignment", "test", 5],
    ["migrate", false, "deleted", "reprovisionedToInitialAssignment", "test", 1],
    ["migrate", true, "kept", "deviceDataMigrated", "production", 5],
    ["migrate", true, "deleted", "deviceDataReset", "production", 1],
    ["migrate", true, "disabled", "deviceDataMigrated", "production", 5],
    ["reset", false, "kept", "initialAssignment", "test", 5],
    ["reset", false, "deleted", "reprovisionedToInitialAssignment", "test", 1],
    ["reset", true, "kept", "deviceDataReset", "production", 1],
    ["reset", true, "deleted", "deviceDataReset", "production", 1],
    ["never", false, "kept", "initialAssignment", "test", 5],
    ["never", true, "kept", "initialAssignment", "test", 5],
    ["never", true, "deleted", "initialAssignment", "test", undefined],
  ] as const)(
    "%s, moved: %s, device %s in the old hub: %s at %s with level %s",
    async (reprovisionPolicy, isMoved, fate, substatus, hub, level) => {
      const id = `late-${reprovisionPolicy}-${isMoved}-${fate}`;
      const client = enroll(id, { reprovisionPolicy });
      await client.provision();
      cloud.levers.patchTwin("test", id, { desired: { level: 5 } });
      if (isMoved) cloud.levers.moveEnrollment(id, "production");
      if (fate === "deleted") cloud.levers.deleteDevice("test", id);
      if (fate === "disabled") cloud.levers.setDeviceEnabled("test", id, false);
      const { body } = await client.provision();
      expect(body.registrationState).toMatchObject({ substatus, assignedHub: cloud.hub(hub).host });
      const whereabouts = ["test", "production"].filter((name) =>
        cloud.levers.devices(name).some(({ deviceId }) => deviceId === id),
      );
      expect(whereabouts).toEqual(level === undefined ? [] : [hub]);
      const found = whereabouts.map((name) => cloud.levers.twin(name, id));
      expect(found.map(({ desired }) => desired.properties["level"])).toEqual(
        level === undefined ? [] : [level],
      );
      expect(found.map(({ tags }) => tags["site"])).toEqual(level === undefined ? [] : ["north"]);
    },
  );

  it("comes back to the first hub with its data", async () => {
    const client = enroll("boomerang");
    for (const hub of ["test", "production", "test"]) {
      cloud.levers.moveEnrollment("boomerang", hub);
      expect((await client.provision()).body.registrationState).toMatchObject({
        assignedHub: cloud.hub(hub).host,
      });
    }
    expect(cloud.levers.devices("production").map(({ deviceId }) => deviceId)).not.toContain("boomerang");
    expect(cloud.levers.twin("test", "boomerang").tags).toEqual({ site: "north" });
  });
});
