import { afterEach, beforeEach, expect, test } from "vitest";
import { openStore } from "../../src/platform/store.ts";
import { parseAssignments } from "../../src/provisioning/stored-assignments.ts";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import genuine from "../cloud/tpm-genuine.json" with { type: "json" };
import { SoftTpm } from "../identity/soft-tpm.ts";
import { TpmTap } from "../identity/tpm-tap.ts";
import { ManualClock } from "../manual-clock.ts";
import { SmallDisk, whyNoMount } from "../platform/small-disk.ts";
import { RecordingLog } from "../platform/recording-log.ts";
import { Gateway } from "./gateway.ts";
import { enrollTpm, hurried, HurriedClock, registrations } from "./tpm-device.ts";

if (whyNoMount !== undefined) console.log(`skipped: a disk that is full: ${whyNoMount}`);

/*
 * The whole way of a device whose identity is its TPM: the cloud makes its challenges for that TPM's own keys.
 */
let soft: SoftTpm;
let cloud: Cloud;

beforeEach(async () => {
  soft = await SoftTpm.start();
  cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
});
afterEach(async () => {
  await cloud[Symbol.asyncDispose]();
  await soft[Symbol.asyncDispose]();
});

const gatewayWithTpm = () => new Gateway(cloud, { tpm: soft, clock: hurried });

/** What a reprovision must not leave behind. */
async function residue() {
  return {
    persistent: await soft.handles("persistent"),
    transient: await soft.handles("transient"),
    loaded: await soft.handles("loaded-session"),
    saved: await soft.handles("saved-session"),
    files: soft.leftovers(),
  };
}

const clean = {
  persistent: ["0x81000001", "0x81010001"],
  transient: [],
  loaded: [],
  saved: [],
  files: [],
};

test("a device with nothing but key = tpm2: ends up connected, restarts without DPS, and moves to another hub", async () => {
  const registrationId = await enrollTpm(cloud, soft);
  await using gateway = gatewayWithTpm();
  await gateway.start();
  await gateway.connected();
  expect(gateway.site()).toEqual({ name: "Hall 7" });
  expect(gateway.failures()).toEqual([]);
  expect(gateway.events("identity.opened")[0]).toMatchObject({ registrationId, attestation: "tpm" });
  expect(gateway.lastHealth).toMatch(/; the TPM signs in \d+ ms$/);
  expect(registrations(gateway)).toBe(1);

  await gateway.stop();
  gateway.health.length = 0;
  await gateway.start();
  await gateway.connected();
  expect(registrations(gateway)).toBe(1);

  cloud.levers.moveEnrollment(registrationId, "production");
  cloud.levers.deleteDevice("test", registrationId);
  await gateway.until(() => gateway.lastHealth.includes(cloud.hub("production").host), "it moved", 20_000);
  await gateway.connected();
  expect(registrations(gateway)).toBe(2);
  expect(cloud.levers.twin("production", registrationId).reported.properties["site"]).toMatchObject({
    ac: 200,
  });
  expect(await residue()).toEqual(clean);
});

test("the TPM survives a loss of power under a device that serves, and signs again after it", async () => {
  const registrationId = await enrollTpm(cloud, soft);
  const clock = new HurriedClock();
  await using gateway = new Gateway(cloud, { tpm: soft, clock });
  await gateway.start();
  await gateway.connected();
  await soft.powerOff();
  gateway.health.length = 0;
  clock.aSecondPasses();
  cloud.levers.dropConnection("test", registrationId);
  await gateway.until(() => gateway.failures().includes("identity/tpm-unreachable"), "the TPM is missed");
  await soft.powerOn();
  await gateway.connected();
  expect(registrations(gateway)).toBe(1);
});

test("a cleared TPM registers anew by itself, under the same registration ID", async () => {
  const registrationId = await enrollTpm(cloud, soft);
  await using gateway = gatewayWithTpm();
  await gateway.start();
  await gateway.connected();
  await gateway.stop();
  await soft.tool("clear");
  gateway.health.length = 0;
  await gateway.start();
  await gateway.connected();
  expect(gateway.events("provisioning.started").at(-1)?.["because"]).toContain("it was cleared or exchanged");
  expect(registrations(gateway)).toBe(2);
  expect(cloud.levers.devices("test").map(({ deviceId }) => deviceId)).toEqual([registrationId]);
});

test("a TPM that is cleared under a running device is noticed at the next token, and the device registers anew", async () => {
  const registrationId = await enrollTpm(cloud, soft);
  const clock = new HurriedClock();
  await using gateway = new Gateway(cloud, { tpm: soft, clock });
  await gateway.start();
  await gateway.connected();
  await soft.tool("clear");
  gateway.health.length = 0;
  clock.aSecondPasses();
  cloud.levers.dropConnection("test", registrationId);
  await gateway.until(() => gateway.failures().includes("identity/changed"), "the loss is noticed");
  await gateway.connected();
  expect(registrations(gateway)).toBe(2);
});

test.each([
  { code: "provisioning/enrollment-not-found", refuse: (id: string) => cloud.levers.enrollments.delete(id) },
  {
    code: "provisioning/unauthorized",
    refuse: (registrationId: string) => {
      const attestation = { type: "tpm", endorsementKey: genuine.endorsementKey } as const;
      cloud.levers.enrollments.put({ registrationId, attestation });
    },
  },
])("a device that DPS refuses with $code stays with the hub that it has, and with its key", async (row) => {
  const registrationId = await enrollTpm(cloud, soft);
  await using gateway = gatewayWithTpm();
  await gateway.start();
  await gateway.connected();
  row.refuse(registrationId);
  gateway.health.length = 0;
  gateway.inputs.tell({ kind: "reprovision", because: "the test" });
  await gateway.until(() => gateway.failures().includes(row.code), "DPS refuses");
  await gateway.connected();
  expect(gateway.lastHealth).toContain(cloud.hub("test").host);

  await gateway.stop();
  gateway.health.length = 0;
  await gateway.start();
  await gateway.connected();
  expect(registrations(gateway)).toBe(1);
});

test("an exchanged TPM is an operator's matter and says so; once it is enrolled the device goes on", async () => {
  const registrationId = await enrollTpm(cloud, soft);
  const place = { tcti: soft.tcti, workDirectory: soft.workDirectory };
  await using gateway = new Gateway(cloud, { tpm: place, clock: hurried });
  await gateway.start();
  await gateway.connected();
  await gateway.stop();

  await using other = await SoftTpm.start();
  place.tcti = other.tcti;
  gateway.writeConfig({});
  gateway.health.length = 0;
  await gateway.start();
  await gateway.until(() => gateway.failures().includes("identity/tpm-exchanged"), "the exchange is told");
  await gateway.until(() => gateway.lastHealth.includes("after a new mainboard"), "the status says so");
  expect(gateway.lastHealth).toContain(registrationId);
  expect(gateway.lastHealth).toContain("latebind identity");

  const newId = await enrollTpm(cloud, other);
  await gateway.until(() => gateway.health.at(-1)?.at === "connected", "it goes on", 20_000);
  expect(gateway.lastHealth).toContain(`as ${newId}`);
});

test("a token is renewed with one signature, and nothing else is asked of the TPM", async () => {
  await using tap = await TpmTap.start(soft);
  await enrollTpm(cloud, soft);
  const clock = new ManualClock();
  const tpm = { tcti: tap.tcti, workDirectory: soft.workDirectory };
  await using gateway = new Gateway(cloud, { tpm, clock });
  await gateway.start();
  await gateway.connected();
  const commands: string[] = [];
  tap.onCommand = (name) => commands.push(name);
  for (const renewal of [1, 2]) {
    commands.length = 0;
    clock.advance(55 * 60_000);
    await gateway.until(() => gateway.events("hub.connected").length > renewal, "the token is renewed");
    await gateway.connected();
    const asked = commands.filter(
      (name) => !["ReadPublic", "StartAuthSession", "FlushContext"].includes(name),
    );
    expect(asked).toEqual(["Load", "HMAC"]);
  }
});

test.skipIf(whyNoMount !== undefined)(
  "a disk that is full when the hub's key comes leaves the old key where it is, and the device on the new hub from memory",
  async () => {
    const registrationId = await enrollTpm(cloud, soft);
    await using gateway = gatewayWithTpm();
    using disk = new SmallDisk(gateway.stateDirectory);
    await gateway.start();
    await gateway.connected();
    disk.fill();
    // DPS that has forgotten the device leaves it where it is, and makes it another key for the other hub.
    cloud.levers.moveEnrollment(registrationId, "production");
    cloud.levers.forgetRegistration(registrationId);
    gateway.health.length = 0;
    gateway.inputs.tell({ kind: "reprovision", because: "the test" });
    const { host } = cloud.hub("production");
    await gateway.until(() => gateway.lastHealth.startsWith(`connected to ${host}`), "it moved", 20_000);
    expect(gateway.status).toContain("platform/state-not-written");

    await gateway.stop();
    await cloud.levers.setLine("dps", false);
    gateway.health.length = 0;
    await gateway.start();
    await gateway.connected();
    expect(gateway.lastHealth).toContain(cloud.hub("test").host);
  },
);

test("a stored key that is not this TPM's leads to DPS after two tries, and the device goes on", async () => {
  await enrollTpm(cloud, soft);
  await using gateway = gatewayWithTpm();
  await gateway.start();
  await gateway.connected();
  await gateway.stop();
  const store = openStore(gateway.stateDirectory, "assignment", parseAssignments, new RecordingLog().log);
  const current = store.read()?.current;
  if (current?.hubKey === undefined) throw new Error("no key is stored");
  const damaged = Buffer.from(current.hubKey.private, "base64").fill(0, 40, 60).toString("base64");
  await store.write({ current: { ...current, hubKey: { ...current.hubKey, private: damaged } } });
  gateway.health.length = 0;
  await gateway.start();
  await gateway.connected();
  expect(gateway.failures()).toEqual(["identity/tpm-hub-key-lost", "identity/tpm-hub-key-lost"]);
  expect(registrations(gateway)).toBe(2);
});
