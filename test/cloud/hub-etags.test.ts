import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import { askAdmin } from "./test-admin.ts";
import { twinTopics } from "./test-device.ts";
import { connectNew } from "./test-hub-device.ts";

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud();
});
afterAll(async () => cloud[Symbol.asyncDispose]());

const path = "/hubs/test/devices/d";
const stale = "AAAAAAAAAAA=";

function fresh(): { readonly device: string; readonly twin: string } {
  const { etag } = cloud.levers.putDevice("test", "d", {});
  return { device: etag, twin: cloud.levers.twin("test", "d").etag };
}

describe("with a stale If-Match the admin API answers 412 and changes nothing to", () => {
  it.each([
    ["PUT", path, { auth: { type: "ca" } }],
    ["PATCH", path, { enabled: false }],
    ["DELETE", path, undefined],
    ["POST", `${path}/rotate-key`, { which: "primary" }],
    ["PATCH", `${path}/twin`, { desired: { a: 1 }, tags: { t: 1 } }],
  ])("%s %s", async (method, target, body) => {
    const etags = fresh();
    const device = cloud.levers.device("test", "d");
    expect(await askAdmin(cloud, method, target, body, { "if-match": `"${stale}"` })).toMatchObject({
      status: 412,
      body: { errorCode: 412_001 },
    });
    expect(cloud.levers.device("test", "d")).toEqual(device);
    expect(cloud.levers.twin("test", "d").etag).toBe(etags.twin);
  });

  it("a device that is not there, also with *", async () => {
    for (const wanted of ["*", stale]) {
      const answer = await askAdmin(cloud, "PUT", "/hubs/test/devices/nobody", {}, { "if-match": wanted });
      expect(answer.status).toBe(412);
    }
    expect(cloud.levers.hub("test").has("nobody")).toBe(false);
  });
});

describe("with the current etag, quoted or not, or with *", () => {
  it.each([(etag: string) => `"${etag}"`, (etag: string) => etag, () => "*"])(
    "a change is made and makes a new etag (%#)",
    async (ifMatch) => {
      const { device, twin } = fresh();
      const disabled = await askAdmin(
        cloud,
        "PATCH",
        path,
        { enabled: false },
        { "if-match": ifMatch(device) },
      );
      expect(disabled).toMatchObject({ status: 200, body: { enabled: false } });
      expect(cloud.levers.device("test", "d").etag).not.toBe(device);
      const patched = await askAdmin(
        cloud,
        "PATCH",
        `${path}/twin`,
        { tags: { t: 1 } },
        { "if-match": ifMatch(twin) },
      );
      expect(patched).toMatchObject({ status: 200, body: { tags: { t: 1 } } });
      expect(cloud.levers.twin("test", "d").etag).not.toBe(twin);
    },
  );
});

it("a device's etag follows its identity, a twin's etag whatever changes the twin", async () => {
  await using device = await connectNew(cloud, "e");
  await device.client.subscribeAsync(twinTopics.answers, { qos: 1 });
  const { etag } = cloud.levers.device("test", "e");
  const twinEtag = cloud.levers.twin("test", "e").etag;
  await device.ask(twinTopics.get);
  await device.client.publishAsync("devices/e/messages/events/", "x", { qos: 1 });
  expect(cloud.levers.twin("test", "e").etag).toBe(twinEtag);
  await device.ask(twinTopics.patch, '{"a":1}');
  const afterReport = cloud.levers.twin("test", "e").etag;
  expect(afterReport).not.toBe(twinEtag);
  expect(cloud.levers.device("test", "e").etag).toBe(etag);
  cloud.levers.rotateKey("test", "e", "secondary");
  expect(cloud.levers.device("test", "e").etag).not.toBe(etag);
  expect(cloud.levers.twin("test", "e").etag).toBe(afterReport);
});

describe("a device put by hand", () => {
  it.each<[string, unknown, string]>([
    ["bad%2Fid", {}, "device ID"],
    ["x", { colour: 1 }, "colour"],
    ["x", { auth: { type: "sas", primaryKey: "short" } }, "primaryKey"],
    ["x", { auth: { type: "selfSigned", primaryThumbprint: "12" } }, "primaryThumbprint"],
    ["x", { auth: { type: "oath" } }, "type"],
    ["x", { initialTwin: { desired: { "a.b": 1 } } }, "a.b"],
    ["x", { initialTwin: { tags: { "a b": 1 } } }, "a b"],
  ])("is refused: %s %j", async (id, body, words) => {
    const answer = await askAdmin(cloud, "PUT", `/hubs/test/devices/${id}`, body);
    expect(answer.status).toBe(400);
    expect(JSON.stringify(answer.body)).toContain(words);
    expect(cloud.levers.hub("test").has("x")).toBe(false);
  });

  it("keeps its twin when it gets another credential", async () => {
    await askAdmin(cloud, "PUT", "/hubs/test/devices/kept", { initialTwin: { desired: { a: 1 } } });
    const { body } = await askAdmin(cloud, "PUT", "/hubs/test/devices/kept", {
      auth: { type: "selfSigned", primaryThumbprint: "A".repeat(40) },
      enabled: false,
    });
    expect(body).toMatchObject({ type: "selfSigned", enabled: false });
    expect(cloud.levers.twin("test", "kept").desired).toEqual({ properties: { a: 1 }, version: 2 });
  });
});
