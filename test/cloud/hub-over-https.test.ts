import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import { textWith } from "./matchers.ts";
import { parseAnswer, provision, sasToken } from "./test-device.ts";
import { askHttps, type HttpsAnswer } from "./test-https.ts";

let cloud: Cloud;
let key: string;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0 });
  key = cloud.levers.enrollments.put({ registrationId: "gateway-1" }).primaryKey;
  await provision(cloud, "gateway-1", key);
});
afterAll(async () => cloud[Symbol.asyncDispose]());
beforeEach(() => {
  cloud.levers.hub("test").messages.purge("gateway-1");
});

interface Request {
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly token?: Partial<Parameters<typeof sasToken>[0]>;
}

async function ask(
  method: string,
  path: string,
  { body, headers, token }: Request = {},
): Promise<HttpsAnswer> {
  const resource = `${cloud.hub("test").host}/devices/gateway-1`;
  return askHttps(cloud, "test", {
    method,
    path: `/devices/gateway-1/messages/${path}${path.includes("?") ? "&" : "?"}api-version=2020-03-13`,
    headers: { authorization: sasToken({ resource, key, ...token }), ...headers },
    ...(body === undefined ? {} : { body }),
  });
}

/** Fetches the next message. @returns its lock token. */
async function fetchLock(): Promise<string> {
  const { headers } = await ask("GET", "devicebound");
  return (headers.etag ?? "").replaceAll('"', "");
}

describe("a hub over HTTPS refuses", () => {
  it.each<[string, number, number, () => Promise<HttpsAnswer>]>([
    ["an expired token", 401, 401003, async () => ask("POST", "events", { token: { lifetimeSeconds: -1 } })],
    ["another key", 401, 401003, async () => ask("POST", "events", { token: { key: "AAAA" } })],
    [
      "another device's token",
      401,
      401003,
      async () =>
        ask("GET", "devicebound", { token: { resource: `${cloud.hub("test").host}/devices/other` } }),
    ],
    ["nobody", 401, 401003, async () => ask("GET", "devicebound", { headers: { authorization: "" } })],
    [
      "a message above 256 KB",
      413,
      413001,
      async () => ask("POST", "events", { body: "x".repeat(256 * 1024 + 1) }),
    ],
    ["a lock that nobody holds", 412, 412002, async () => ask("DELETE", "devicebound/made-up")],
    ["what it does not know", 404, 404000, async () => ask("PUT", "events")],
  ])("%s with %i and %i", async (_what, status, errorCode, attempt) => {
    const answer = await attempt();
    expect(answer).toMatchObject({ status });
    expect(parseAnswer(answer.body)).toMatchObject({ errorCode });
  });

  it("a lock that is a minute old, and then gives the message out again", async () => {
    cloud.levers.hub("test").messages.send("gateway-1", { body: "hello" });
    const lock = await fetchLock();
    expect(await ask("GET", "devicebound")).toMatchObject({ status: 204 });
    cloud.levers.setClockOffset(61_000);
    expect(await ask("DELETE", `devicebound/${lock}`)).toMatchObject({ status: 412 });
    expect(await ask("GET", "devicebound")).toMatchObject({
      status: 200,
      headers: { "iothub-deliverycount": "2" },
    });
    cloud.levers.setClockOffset(0);
  });
});

describe("over HTTPS a device", () => {
  it("sends telemetry with its properties", async () => {
    const headers = {
      "iothub-app-hall": "7",
      "iothub-messageid": "m-1",
      "iothub-contenttype": "application/json",
    };
    expect(await ask("POST", "events", { body: '{"a":1}', headers })).toMatchObject({
      status: 204,
      body: "",
    });
    expect(cloud.levers.telemetry("test", "gateway-1").at(-1)).toMatchObject({
      body: '{"a":1}',
      properties: { hall: "7", "$.mid": "m-1", "$.ct": "application/json" },
    });
  });

  it("fetches a message, abandons it, fetches it again and completes it", async () => {
    const { messages } = cloud.levers.hub("test");
    expect(await ask("GET", "devicebound")).toMatchObject({ status: 204 });
    messages.send("gateway-1", {
      body: "hello",
      messageId: "m-1",
      properties: { colour: "red" },
      ack: "full",
    });
    const answer = await ask("GET", "devicebound");
    expect(answer).toMatchObject({
      status: 200,
      body: "hello",
      headers: {
        etag: textWith('"'),
        "iothub-messageid": "m-1",
        "iothub-app-colour": "red",
        "iothub-deliverycount": "1",
        "iothub-ack": "full",
      },
    });
    const lock = (answer.headers.etag ?? "").replaceAll('"', "");
    expect(await ask("POST", `devicebound/${lock}/abandon`)).toMatchObject({ status: 204 });
    expect(await fetchLock()).toBe(lock);
    expect(await ask("DELETE", `devicebound/${lock}`)).toMatchObject({ status: 204 });
    expect(messages.waiting("gateway-1")).toEqual([]);
    expect(messages.feedback().at(-1)).toMatchObject({ originalMessageId: "m-1", statusCode: "Success" });
  });

  it("rejects a message, and its sender hears of it", async () => {
    const { messages } = cloud.levers.hub("test");
    messages.send("gateway-1", { body: "no", messageId: "m-2", ack: "negative" });
    expect(await ask("DELETE", `devicebound/${await fetchLock()}?reject`)).toMatchObject({ status: 204 });
    expect(messages.waiting("gateway-1")).toEqual([]);
    expect(messages.feedback().at(-1)).toMatchObject({ originalMessageId: "m-2", statusCode: "Rejected" });
  });
});
