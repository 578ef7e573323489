import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import { createKey } from "./hub.ts";
import { anyText, textMatching } from "./matchers.ts";
import { deriveKey } from "./sas-token.ts";
import { parseAnswer, sasToken } from "./test-device.ts";
import { httpsDevice, type HttpsDevice } from "./test-dps-https.ts";

let cloud: Cloud;
let key: string;
let device: HttpsDevice;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 2 });
  key = cloud.levers.enrollments.put({ registrationId: "gateway-1", payload: { site: 7 } }).primaryKey;
  device = httpsDevice(cloud, "gateway-1", key);
});
afterAll(async () => cloud[Symbol.asyncDispose]());

const version = "?api-version=2021-06-01";
const path = (rest: string): string => `/${cloud.idScope}/registrations/gateway-1${rest}`;

describe("DPS over HTTPS refuses", () => {
  it.each<[string, number, number, () => Parameters<HttpsDevice["register"]>]>([
    ["an unknown path", 404, 404000, () => [{}, { path: path(`/other${version}`) }]],
    ["another method", 405, 405000, () => [{}, { method: "PATCH" }]],
    ["a POST to register", 405, 405000, () => [{}, { method: "POST" }]],
    ["a missing api-version", 400, 400003, () => [{}, { path: path("/register") }]],
    ["an unknown api-version", 400, 400003, () => [{}, { path: path("/register?api-version=2020-02-30") }]],
    [
      "another scope",
      401,
      401002,
      () => [{}, { path: `/0neOTHER/registrations/gateway-1/register${version}` }],
    ],
    ["a body that is no JSON", 400, 400004, () => ["{"]],
    ["a body that is no object", 400, 400004, () => ["[]"]],
    ["a body for another device", 400, 400004, () => [{ registrationId: "gateway-2" }]],
    ["a csr that is no text", 400, 400004, () => [{ csr: 7 }]],
    [
      "tpm keys that are none",
      400,
      400004,
      () => [{ tpm: { endorsementKey: "AAAA", storageRootKey: "AAAA" } }],
    ],
    ["a body of 96 KB and more", 400, 400004, () => [{ payload: "x".repeat(98_304) }]],
    [
      "a form",
      415,
      415001,
      () => ["a=b", { headers: { "content-type": "application/x-www-form-urlencoded" } }],
    ],
    ["no credential", 401, 401002, () => [{}, { headers: { authorization: "" } }]],
    ["Basic credentials", 401, 401002, () => [{}, { headers: { authorization: "Basic YTpi" } }]],
  ])("%s with %d and %d", async (_name, status, errorCode, request) => {
    const answer = await device.register(...request());
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.body)).toEqual({
      errorCode,
      message: anyText,
      trackingId: textMatching(/^[0-9a-f-]{36}$/),
      timestampUtc: textMatching(/^\d{4}-.+Z$/),
    });
    expect(answer.headers["x-ms-error-code"]).toBe(String(errorCode));
  });

  it.each<[string, () => HttpsDevice]>([
    ["another device's key", () => httpsDevice(cloud, "gateway-1", createKey())],
    ["an expired token", () => httpsDevice(cloud, "gateway-1", key, { token: { lifetimeSeconds: -1 } })],
    [
      "a token of another key name",
      () => httpsDevice(cloud, "gateway-1", key, { token: { keyName: "owner" } }),
    ],
    [
      "a token for the tail of the path",
      () =>
        httpsDevice(cloud, "gateway-1", key, {
          token: { resource: path("/register").slice(1) },
        }),
    ],
    ["nothing at all", () => httpsDevice(cloud, "gateway-1", undefined)],
  ])("%s with 401002, in every call", async (name, make) => {
    const stranger = make();
    const operationId = parseAnswer((await device.register()).body).operationId ?? "";
    for (const answer of [await stranger.register(), await stranger.lookup()]) {
      expect([answer.status, parseAnswer(answer.body).errorCode]).toEqual([401, 401002]);
    }
    // Five minutes of grace are for devices that poll with a token that has just run out.
    const isLate = name === "an expired token";
    expect((await stranger.poll(operationId)).status).toBe(isLate ? 200 : 401);
  });

  it("an unknown registration with 404201, one never made with 404202, an unknown operation with 404203", async () => {
    const { primaryKey } = cloud.levers.enrollments.put({ registrationId: "quiet" });
    const quiet = httpsDevice(cloud, "quiet", primaryKey);
    const answers = [
      await httpsDevice(cloud, "stranger", createKey()).register(),
      await quiet.lookup(),
      await quiet.poll("5.0123456789abcdef.00000000-0000-0000-0000-000000000000"),
    ];
    expect(answers.map(({ status, body }) => [status, parseAnswer(body).errorCode])).toEqual([
      [404, 404201],
      [404, 404202],
      [404, 404203],
    ]);
  });

  it("a csr in a lookup with 400", async () => {
    expect((await device.lookup({ csr: "AAAA" })).status).toBe(400);
  });
});

describe("DPS over HTTPS", () => {
  it("answers 202 with where and when to ask, then 200 with the assignment", async () => {
    const first = await device.register({ registrationId: "GATEWAY-1", payload: { model: "x" } });
    const { operationId = "" } = parseAnswer(first.body);
    expect(first.status).toBe(202);
    expect(JSON.parse(first.body)).toEqual({
      operationId: textMatching(/^5\.[0-9a-f]{16}\..{36}$/),
      status: "assigning",
    });
    const { host, httpsPort } = cloud.dps;
    const authority = httpsPort === 443 ? host : `${host}:${httpsPort}`;
    expect(first.headers).toMatchObject({
      "retry-after": "2",
      location: `https://${authority}${path(`/operations/${operationId}`)}${version}`,
      "content-type": "application/json; charset=utf-8",
      "x-ms-request-id": textMatching(/^[0-9a-f-]{36}$/),
      "strict-transport-security": anyText,
      date: anyText,
    });
    const final = await device.poll(operationId);
    expect(final.headers["retry-after"]).toBeUndefined();
    expect(parseAnswer(final.body)).toMatchObject({
      operationId,
      status: "assigned",
      registrationState: {
        registrationId: "gateway-1",
        assignedHub: cloud.hub("test").host,
        deviceId: "gateway-1",
        status: "assigned",
        substatus: "initialAssignment",
        payload: { site: 7 },
        symmetricKey: {},
      },
    });
  });

  it("looks a registration up as the bare state, and says when the enrollment is disabled", async () => {
    const { primaryKey } = cloud.levers.enrollments.put({ registrationId: "looked-up" });
    const asked = httpsDevice(cloud, "looked-up", primaryKey);
    const { body } = await asked.provision();
    expect(JSON.parse((await asked.lookup()).body)).toEqual(body.registrationState);
    cloud.levers.enrollments.change("looked-up", { enabled: false });
    expect(JSON.parse((await asked.lookup()).body)).toEqual({
      registrationId: "looked-up",
      status: "disabled",
    });
    expect(await asked.provision()).toMatchObject({ status: 200, body: { status: "disabled" } });
  });

  it("takes null for what a device does not have", async () => {
    const absent = { registrationId: null, payload: null, tpm: null, csr: null };
    expect((await device.register(absent)).status).toBe(202);
  });

  it("takes an empty body, a group's derived key, and an ID in percent-encoding", async () => {
    const { primaryKey } = cloud.levers.enrollments.putGroup({ groupId: "fleet" });
    const id = "urn:fleet:1";
    const member = httpsDevice(cloud, id, deriveKey(primaryKey, id));
    const encoded = `/${cloud.idScope}/registrations/${encodeURIComponent(id)}/register${version}`;
    expect((await member.register("", { path: encoded })).status).toBe(202);
    cloud.levers.enrollments.deleteGroup("fleet");
  });

  it("never lets one device see another's operation", async () => {
    const { primaryKey } = cloud.levers.enrollments.put({ registrationId: "curious" });
    const { operationId = "" } = parseAnswer((await device.register()).body);
    expect((await httpsDevice(cloud, "curious", primaryKey).poll(operationId)).status).toBe(404);
  });

  it("writes every call into the journal, without what was shown", async () => {
    const { lastSeq } = cloud.journal;
    const authorization = sasToken({ resource: path("").slice(1), key });
    await device.register({}, { headers: { authorization } });
    const events = cloud.journal.events(lastSeq);
    expect(events).toMatchObject([
      { kind: "register", clientId: "gateway-1", status: 202, registrationStatus: "assigning" },
      { kind: "https", method: "PUT", path: path("/register"), status: 202 },
    ]);
    expect(JSON.stringify(events)).not.toContain("sig=");
  });
});
