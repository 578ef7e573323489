import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { anyText, listWith, objectWith, textWith } from "./matchers.ts";
import { startCloud, type Cloud } from "./cloud.ts";
import { createKey } from "./hub.ts";
import { connectToHub, provision, refusalOf } from "./test-device.ts";

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0 });
});
afterAll(async () => cloud[Symbol.asyncDispose]());

async function call(
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: unknown }> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const response = await fetch(`${cloud.adminUrl}${path}`, {
    method,
    ...(body === undefined ? {} : { body: text }),
  });
  const answer = await response.text();
  return { status: response.status, body: answer === "" ? undefined : JSON.parse(answer) };
}

describe("the admin API answers", () => {
  it.each([
    [404, "GET", "/nowhere", undefined, "nothing at /nowhere"],
    [405, "DELETE", "/clock", undefined, "GET, PUT"],
    [404, "GET", "/enrollments/stranger", undefined, "no enrollment stranger"],
    [404, "PATCH", "/enrollments/stranger", {}, "no enrollment stranger"],
    [404, "DELETE", "/enrollment-groups/strangers", undefined, "no enrollment group strangers"],
    [404, "DELETE", "/registrations/stranger", undefined, "no registration stranger"],
    [404, "GET", "/hubs/none/devices", undefined, "no hub none"],
    [404, "GET", "/hubs/test/devices/stranger", undefined, "no device stranger"],
    [404, "PATCH", "/hubs/test/devices/stranger/twin", { desired: {} }, "no device stranger"],
    [404, "PUT", "/endpoints/none/line", { up: true }, "no endpoint none"],
    [400, "PUT", "/enrollments/x", "{", "not JSON"],
    [400, "PUT", "/enrollments/x", [], "not a JSON object"],
    [400, "PUT", "/enrollments/x", { primaryKey: "short" }, "primaryKey: a key is base64"],
    [400, "PUT", "/enrollments/x", { colour: 1 }, "colour"],
    [400, "PUT", "/enrollments/x", { reprovisionPolicy: "maybe" }, "reprovisionPolicy"],
    [400, "PUT", "/enrollments/x.", {}, "registrationId"],
    [400, "PUT", "/endpoints/dps/line", {}, "up"],
    [400, "PUT", "/clock", { offsetMs: 1.5 }, "offsetMs"],
    [400, "PATCH", "/pace", { pollAfterSeconds: -1 }, "pollAfterSeconds"],
    [400, "POST", "/hubs", { name: "No Hub" }, "name"],
    [409, "POST", "/hubs", { name: "test" }, "already"],
    [400, "GET", "/journal?after=x", undefined, "after"],
  ])("%i to %s %s with %j", async (status, method, path, body, words) => {
    const answer = await call(method, path, body);
    expect(answer).toMatchObject({ status, body: { error: textWith(words) } });
  });

  it("everything there is to GET /", async () => {
    const { body } = await call("GET", "/");
    expect(body).toMatchObject({
      idScope: cloud.idScope,
      caPem: cloud.caPem,
      endpoints: [{ name: "dps", isUp: true }, { name: "test" }, { name: "production" }],
      routes: listWith(["PATCH /hubs/:hub/devices/:deviceId/twin"]),
    });
  });
});

describe("with the admin API an operator", () => {
  it("enrolls, provisions, moves and disables a device", async () => {
    const key = createKey();
    await call("PUT", "/enrollments/gateway-1", { primaryKey: key, initialTwin: { desired: { a: 1 } } });
    await provision(cloud, "gateway-1", key);
    expect((await call("GET", "/registrations")).body).toMatchObject([
      { registrationId: "gateway-1", hub: "test" },
    ]);
    expect((await call("GET", "/hubs/test/devices")).body).toMatchObject([
      { deviceId: "gateway-1", enabled: true },
    ]);
    await call("PATCH", "/hubs/test/devices/gateway-1", { enabled: false });
    expect(await refusalOf(connectToHub(cloud, "test", "gateway-1", key))).toBe(5);
    await call("POST", "/enrollments/gateway-1/move", { hub: "production" });
    await provision(cloud, "gateway-1", key);
    expect((await call("GET", "/hubs/test/devices")).body).toEqual([]);
    expect(await refusalOf(connectToHub(cloud, "production", "gateway-1", key))).toBe(0);
    expect((await call("DELETE", "/hubs/production/devices/gateway-1")).status).toBe(204);
    expect(await refusalOf(connectToHub(cloud, "production", "gateway-1", key))).toBe(5);
  });

  it("changes a twin and a key", async () => {
    const { primaryKey } = cloud.levers.enrollments.put({ registrationId: "gateway-2" });
    await provision(cloud, "gateway-2", primaryKey);
    const device = "/hubs/test/devices/gateway-2";
    expect(await call("PATCH", `${device}/twin`, { desired: { a: 1 }, tags: { t: 2 } })).toMatchObject({
      status: 200,
      body: { desired: { properties: { a: 1 }, version: 2 }, tags: { t: 2 } },
    });
    const key = createKey();
    await call("POST", `${device}/rotate-key`, { which: "primary", key });
    expect(await refusalOf(connectToHub(cloud, "test", "gateway-2", key))).toBe(0);
    expect((await call("POST", `${device}/drop`)).status).toBe(204);
  });

  it("enrolls a group, sets the pace, moves the clock and cuts a line", async () => {
    expect(await call("PUT", "/enrollment-groups/fleet", { hub: "production" })).toMatchObject({
      status: 200,
      body: { groupId: "fleet", hub: "production", enabled: true, primaryKey: anyText },
    });
    expect((await call("DELETE", "/enrollment-groups/fleet")).status).toBe(204);
    expect((await call("PATCH", "/pace", { assigningAnswers: 2 })).body).toMatchObject({
      assigningAnswers: 2,
    });
    expect((await call("PUT", "/clock", { offsetMs: 60_000 })).body).toMatchObject({ offsetMs: 60_000 });
    expect((await call("PUT", "/endpoints/dps/line", { up: false })).body).toMatchObject({ isUp: false });
    const { body } = await call("GET", "/journal");
    expect(body).toContainEqual(objectWith({ kind: "line", endpoint: "dps", up: false }));
    await call("PUT", "/endpoints/dps/line", { up: true });
  });
});
