import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import type { CloudEvent } from "../cloud/journal.ts";
import type { Script } from "./start-script.ts";
import { startSdkDevice, type SdkDeviceSettings } from "./start-sdk-device.ts";

const repository = join(import.meta.dirname, "../..");
const key = randomBytes(32).toString("base64");
let cloud: Cloud;
let folder: string;

beforeAll(async () => {
  // Says what it misses, and is over at once when everything is there.
  await promisify(execFile)("sh", [".ci/ready", "interop"], { cwd: repository });
  folder = await mkdtemp(join(tmpdir(), "latebind-interop-"));
  cloud = await startCloud({ pollAfterSeconds: 1 });
  await writeFile(join(folder, "ca.pem"), cloud.caPem);
}, 180_000);

afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

/** Enrolls a device and starts it; what is not overridden is right. */
function start(registrationId: string, overrides: Partial<SdkDeviceSettings> = {}): Script {
  cloud.levers.enrollments.put({
    registrationId,
    primaryKey: key,
    payload: { welcome: "to the test hub" },
    initialTwin: { desired: { site: { name: "Hall 7" } } },
  });
  const caFile = join(folder, "ca.pem");
  const { idScope, dps } = cloud;
  return startSdkDevice({ dpsHost: dps.host, idScope, registrationId, deviceKey: key, caFile, ...overrides });
}

/** What one endpoint saw of a device, in order, without what differs from run to run. */
function seenBy(endpoint: string, clientId: string): readonly string[] {
  return cloud.journal
    .events()
    .filter((event) => event.endpoint === endpoint && "clientId" in event && event.clientId === clientId)
    .map((event) => `${event.kind} ${detailOf(event)}`.trim());
}

function detailOf(event: CloudEvent): string {
  if (event.kind === "connect") return String(event.returnCode);
  if (event.kind === "subscribe") return event.filter;
  if (event.kind === "register" || event.kind === "poll")
    return `${event.status} ${event.errorCode ?? event.registrationStatus ?? ""}`;
  return event.kind === "twin-get" || event.kind === "twin-patch" ? String(event.status) : "";
}

describe("what the SDK says when the cloud refuses", () => {
  test("a wrong key is an UnauthorizedError with the service's error 401002", async () => {
    await using device = start("wrong-key", { deviceKey: randomBytes(32).toString("base64") });
    const failure = await device.until("failed");
    expect(failure).toMatchObject({ name: "UnauthorizedError", answer: { errorCode: 401002 } });
    expect(await device.exitCode).toBe(1);
    expect(seenBy("dps", "wrong-key")).toContain("register 401 401002");
  });

  test("an unknown registration ID is a DeviceNotFoundError with the service's error 404201", async () => {
    await using device = start("known", { registrationId: "unknown" });
    const failure = await device.until("failed");
    expect(failure).toMatchObject({ name: "DeviceNotFoundError", answer: { errorCode: 404201 } });
    expect(seenBy("dps", "unknown")).toContain("register 404 404201");
  });

  test("another service's ID scope is refused with CONNACK 5", async () => {
    await using device = start("wrong-scope", { idScope: "0ne0000FFFF" });
    const failure = await device.until("failed");
    expect(failure["message"]).toBe("Connection refused: Not authorized");
    expect(seenBy("dps", "wrong-scope")).toEqual(["connect 5"]);
  });

  test("an enrollment that is disabled shows in the registration's status", async () => {
    await using device = start("locked");
    cloud.levers.enrollments.change("locked", { enabled: false });
    expect(await device.until("failed")).toMatchObject({ message: "status is disabled" });
  });

  test("a device that the hub does not let in gets an UnauthorizedError from open", async () => {
    await using device = start("shut-out");
    await cloud.waitFor((event) => event.kind === "register" && event.clientId === "shut-out");
    cloud.levers.setDeviceEnabled("test", "shut-out", false);
    await device.until("assigned");
    expect(await device.until("failed")).toMatchObject({ name: "UnauthorizedError" });
    expect(seenBy("test", "shut-out")).toEqual(["connect 5"]);
  });
});

test("the SDK provisions, connects to the assigned hub, gets and patches its twin and sees a desired change", async () => {
  await using device = start("gateway");
  const assigned = await device.until("assigned");
  expect(assigned).toMatchObject({
    hub: cloud.hub("test").host,
    deviceId: "gateway",
    substatus: "initialAssignment",
    payload: { welcome: "to the test hub" },
  });
  expect(await device.until("twin")).toMatchObject({ desired: { site: { name: "Hall 7" } } });
  await device.until("reported");
  expect(cloud.levers.twin("test", "gateway").reported.properties).toEqual({ rack: 7 });

  cloud.levers.patchTwin("test", "gateway", { desired: { site: { name: "Hall 8" } } });
  const { version } = cloud.levers.twin("test", "gateway").desired;
  expect(await device.until("changed")).toMatchObject({
    patch: { site: { name: "Hall 8" }, $version: version },
  });
  expect(await device.exitCode).toBe(0);
  for (const endpoint of ["dps", "test"]) {
    await cloud.waitFor(
      (event) => event.endpoint === endpoint && event.kind === "disconnect" && event.clientId === "gateway",
    );
  }

  expect(seenBy("dps", "gateway")).toEqual([
    "connect 0",
    "subscribe $dps/registrations/res/#",
    "register 202 assigning",
    "poll 200 assigned",
    "disconnect",
  ]);
  expect(seenBy("test", "gateway")).toEqual([
    "connect 0",
    "subscribe $iothub/twin/res/#",
    "twin-get 200",
    "subscribe $iothub/twin/PATCH/properties/desired/#",
    "twin-patch 204",
    "desired-push",
    "disconnect",
  ]);
});
