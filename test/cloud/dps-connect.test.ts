import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import { createKey } from "./hub.ts";
import { deriveKey } from "./sas-token.ts";
import { connectToDps, dpsTopics, parseAnswer, refusalOf, sasToken } from "./test-device.ts";

let cloud: Cloud;
let key: string;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0 });
  key = cloud.levers.enrollments.put({ registrationId: "gateway-1" }).primaryKey;
});
afterAll(async () => cloud[Symbol.asyncDispose]());

/** Connects, which must succeed, and returns the answer to the register call. */
async function register(
  registrationId: string,
  deviceKey: string,
  overrides: Parameters<typeof connectToDps>[3] = {},
): Promise<{ status: number; errorCode: number | undefined; state: string | undefined }> {
  await using device = await connectToDps(cloud, registrationId, deviceKey, overrides);
  await device.client.subscribeAsync(dpsTopics.answers, { qos: 1 });
  const { status, body } = await device.ask(dpsTopics.register, JSON.stringify({ registrationId }));
  const answer = parseAnswer(body);
  return { status, errorCode: answer.errorCode, state: answer.status };
}

const user = (scope: string, rest: string): string => `${scope}/registrations/${rest}`;

describe("CONNECT to DPS is refused with 5 for", () => {
  it.each<[string, (scope: string) => Parameters<typeof connectToDps>[3]]>([
    ["an unknown ID scope", () => ({ username: user("0neOTHER", "gateway-1/api-version=2019-03-31") })],
    ["a client ID that differs", () => ({ clientId: "gateway-2" })],
    [
      "a user name with a ? before api-version",
      (s) => ({ username: user(s, "gateway-1/?api-version=2019-03-31") }),
    ],
    ["a user name without api-version", (s) => ({ username: user(s, "gateway-1") })],
    ["an api-version that never was", (s) => ({ username: user(s, "gateway-1/api-version=2020-02-30") })],
    ["an empty password", () => ({ password: "" })],
    ["a password that is no token", () => ({ password: "open sesame" })],
    ["an expired token", () => ({ token: { lifetimeSeconds: -1 } })],
    ["a token for another registration", (s) => ({ token: { resource: user(s, "gateway-2") } })],
    ["a token for another scope", () => ({ token: { resource: user("0neOTHER", "gateway-1") } })],
    ["a token for the hub", () => ({ token: { resource: `${cloud.hub("test").host}/devices/gateway-1` } })],
    ["a token of another key name", () => ({ token: { keyName: "owner" } })],
  ])("%s", async (_name, overrides) => {
    expect(await refusalOf(connectToDps(cloud, "gateway-1", key, overrides(cloud.idScope)))).toBe(5);
  });
});

describe("the register call is answered with", () => {
  it("401002 for a key that is not the device's", async () => {
    expect(await register("gateway-1", createKey())).toMatchObject({ status: 401, errorCode: 401002 });
  });

  it("401002 when se was moved after signing", async () => {
    const token = sasToken({ resource: `${cloud.idScope}/registrations/gateway-1`, key });
    const password = token.replace(/se=(\d+)/, (_all, se: string) => `se=${Number(se) + 1}`);
    expect(await register("gateway-1", key, { password })).toMatchObject({ status: 401, errorCode: 401002 });
  });

  it("401002 when a letter of sr changed its case after signing", async () => {
    const token = sasToken({ resource: `${cloud.idScope}/registrations/gateway-1`, key });
    const password = token.replace("gateway", "Gateway");
    expect(await register("gateway-1", key, { password })).toMatchObject({ status: 401, errorCode: 401002 });
  });

  it("404201 for a registration ID that nobody enrolled, while there are no groups", async () => {
    expect(await register("stranger", createKey())).toMatchObject({ status: 404, errorCode: 404201 });
  });

  it("status disabled, and 200, for a disabled enrollment", async () => {
    const { primaryKey } = cloud.levers.enrollments.put({ registrationId: "idle", enabled: false });
    expect(await register("idle", primaryKey)).toMatchObject({ status: 200, state: "disabled" });
    cloud.levers.enrollments.change("idle", { enabled: true });
    expect(await register("idle", primaryKey)).toMatchObject({ status: 202, state: "assigning" });
  });

  it("202 for the secondary key", async () => {
    const { secondaryKey } = cloud.levers.enrollments.put({ registrationId: "second" });
    expect(await register("second", secondaryKey)).toMatchObject({ status: 202, state: "assigning" });
  });

  it("202 for a token without skn, as Python sends it", async () => {
    const password = sasToken({ resource: `${cloud.idScope}/registrations/gateway-1`, key });
    expect(await register("gateway-1", key, { password })).toMatchObject({ status: 202, state: "assigning" });
  });

  it.each([
    ["unencoded, as Node sends it", (text: string) => text],
    ["with lower-case escapes, as C sends it", (text: string) => text.replaceAll("/", "%2f")],
    [
      "all in lower case, as the identity service sends it",
      (text: string) => encodeURIComponent(text.toLowerCase()),
    ],
  ])("202 for a resource %s", async (_name, encode) => {
    expect(await register("gateway-1", key, { token: { encode } })).toMatchObject({ status: 202 });
  });
});

describe("an enrollment group", () => {
  it("admits a device by its derived key and nobody by another's, after individual enrollments", async () => {
    const { primaryKey, secondaryKey } = cloud.levers.enrollments.putGroup({ groupId: "fleet" });
    try {
      expect(await register("fleet-1", deriveKey(primaryKey, "fleet-1"))).toMatchObject({ status: 202 });
      expect(await register("fleet-1", deriveKey(secondaryKey, "fleet-1"))).toMatchObject({ status: 202 });
      expect(await register("fleet-1", deriveKey(primaryKey, "fleet-2"))).toMatchObject({
        errorCode: 401002,
      });
      expect(await register("fleet-1", primaryKey)).toMatchObject({ errorCode: 401002 });
      expect(await register("gateway-1", deriveKey(primaryKey, "gateway-1"))).toMatchObject({
        errorCode: 401002,
      });
      cloud.levers.enrollments.changeGroup("fleet", { enabled: false });
      expect(await register("fleet-1", deriveKey(primaryKey, "fleet-1"))).toMatchObject({
        state: "disabled",
      });
    } finally {
      cloud.levers.enrollments.deleteGroup("fleet");
    }
  });
});

describe("a DPS connection", () => {
  it.each([
    ["a subscription to another filter", async (d: Device) => d.client.subscribe("$dps/#")],
    ["a subscription to everything", async (d: Device) => d.client.subscribe("#")],
    ["a publish to an unknown topic", async (d: Device) => d.client.publish("$dps/registrations/POST/", "")],
    [
      "a register call without $rid",
      async (d: Device) => d.client.publish(dpsTopics.register.split("?")[0] ?? "", ""),
    ],
    ["a publish with QoS 2", async (d: Device) => d.client.publish(dpsTopics.register, "", { qos: 2 })],
    ["a hub's topic", async (d: Device) => d.client.publish("$iothub/twin/GET/?$rid=1", "")],
  ])("is closed after %s", async (_name, offend) => {
    await using device = await connectToDps(cloud, "gateway-1", key);
    await offend(device);
    await device.closed;
    expect(device.order).toEqual([]);
  });

  it("is always a new session, also for a client that wants the old one back", async () => {
    const { lastSeq } = cloud.journal;
    for (let round = 1; round <= 2; round += 1) {
      await using device = await connectToDps(cloud, "gateway-1", key, { clean: false });
      await device.client.subscribeAsync(dpsTopics.answers, { qos: 1 });
    }
    const connects = cloud.journal.events(lastSeq).filter(({ kind }) => kind === "connect");
    expect(connects).toMatchObject([{ sessionPresent: false }, { sessionPresent: false }]);
  });
});

type Device = Awaited<ReturnType<typeof connectToDps>>;
