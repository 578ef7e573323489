import { request } from "node:http";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { MqttClient } from "mqtt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import { provision, sasToken } from "./test-device.ts";

let cloud: Cloud;
let key: string;
const special = { user: "gate way", password: "p@ss:wörd%/" };

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0 });
  key = cloud.levers.enrollments.put({ registrationId: "gateway-1" }).primaryKey;
  await provision(cloud, "gateway-1", key);
});
afterAll(async () => cloud[Symbol.asyncDispose]());

type Target = { readonly host: string; readonly port: number };

/** What a proxy says to CONNECT, and the tunnel behind a 200. */
async function askProxy(
  url: string,
  { host, port }: Target,
  credentials?: typeof special,
): Promise<{ readonly status: number; readonly headers: object; readonly socket: Socket }> {
  const basic = Buffer.from(`${credentials?.user}:${credentials?.password}`).toString("base64");
  const sent = request(url, {
    method: "CONNECT",
    path: `${host}:${port}`,
    headers: credentials === undefined ? {} : { "proxy-authorization": `Basic ${basic}` },
    signal: AbortSignal.timeout(500),
  });
  const { promise, resolve, reject } = Promise.withResolvers<Awaited<ReturnType<typeof askProxy>>>();
  sent.once("error", reject);
  sent.once("connect", ({ statusCode = 0, headers }, socket: Socket) => {
    socket.on("error", () => {});
    resolve({ status: statusCode, headers, socket });
  });
  sent.end();
  return promise;
}

/** A device whose MQTT goes through the tunnel; `name` is what it knows the hub by. */
function connectThrough(socket: Socket, name: string): MqttClient {
  const resource = `${name}/devices/gateway-1`;
  const client = new MqttClient(
    () =>
      connectTls({
        socket,
        ca: cloud.caPem,
        ...(name.endsWith(".test") ? { servername: name } : { host: name }),
      }),
    {
      clientId: "gateway-1",
      username: `${name}/gateway-1/?api-version=2021-04-12`,
      password: sasToken({ resource, key }),
      reconnectPeriod: 0,
    },
  );
  client.on("error", () => {});
  return client;
}

async function until(client: MqttClient, event: "connect" | "close"): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  client.once(event, () => resolve());
  await promise;
}

describe("a proxy", () => {
  it.each([
    ["no credentials", undefined],
    ["a wrong password", { user: special.user, password: "guess" }],
    ["another user", { user: "someone", password: special.password }],
  ])("answers 407 to %s", async (_name, credentials) => {
    const { url } = await cloud.proxies.open({ credentials: special });
    expect(await askProxy(url, cloud.hub("test"), credentials)).toMatchObject({
      status: 407,
      headers: { "proxy-authenticate": 'Basic realm="latebind test cloud"' },
    });
    expect(cloud.journal.events().findLast(({ kind }) => kind === "proxy")).toMatchObject({ status: 407 });
  });

  it.each([
    [403, 403],
    [502, 502],
    ["portal", 302],
  ] as const)("told to answer %s sends %i", async (answer, status) => {
    const { url } = await cloud.proxies.open({ answer });
    expect(await askProxy(url, cloud.hub("test"))).toMatchObject({ status });
  });

  it("answers 502 when nobody listens there", async () => {
    const { url } = await cloud.proxies.open();
    expect(await askProxy(url, { host: cloud.hub("test").host, port: 1 })).toMatchObject({ status: 502 });
  });

  it.each([
    ["drop", "socket hang up"],
    ["silence", "aborted"],
  ] as const)("told to answer with %s leaves the client with: %s", async (answer, symptom) => {
    const { url } = await cloud.proxies.open({ answer });
    await expect(askProxy(url, cloud.hub("test"))).rejects.toThrow(symptom);
  });

  it.each([
    ["without credentials", undefined],
    ["with credentials of special characters", special],
  ])("carries MQTT %s", async (_name, credentials) => {
    const { url } = await cloud.proxies.open(credentials === undefined ? {} : { credentials });
    const { status, socket } = await askProxy(url, cloud.hub("test"), credentials);
    expect(status).toBe(200);
    const client = connectThrough(socket, cloud.hub("test").host);
    await until(client, "connect");
    await client.publishAsync("devices/gateway-1/messages/events/", "through the proxy", { qos: 1 });
    await client.endAsync();
  });

  it("knows names that only this cloud has", async () => {
    const { url } = await cloud.proxies.open();
    const { dnsName, port } = cloud.hub("test");
    const { socket } = await askProxy(url, { host: dnsName, port });
    const client = connectThrough(socket, dnsName);
    await until(client, "connect");
    expect(client.connected).toBe(true);
    await client.endAsync();
  });

  it("cuts a tunnel in the middle of a session, and takes the next", async () => {
    const { url, id } = await cloud.proxies.open();
    const { socket } = await askProxy(url, cloud.hub("test"));
    const client = connectThrough(socket, cloud.hub("test").host);
    await until(client, "connect");
    const closed = until(client, "close");
    cloud.proxies.cut(id);
    await closed;
    expect((await askProxy(url, cloud.hub("test"))).status).toBe(200);
  });

  it("lets a tunnel die after so many bytes, in the middle of the handshake", async () => {
    const { url } = await cloud.proxies.open({ resetAfterBytes: 100 });
    const { socket } = await askProxy(url, cloud.hub("test"));
    const client = connectThrough(socket, cloud.hub("test").host);
    await until(client, "close");
    expect(client.connected).toBe(false);
  });

  it("is changed and closed over the admin API", async () => {
    const call = async (method: string, path: string, body?: string): Promise<Response> =>
      fetch(`${cloud.adminUrl}${path}`, { method, ...(body === undefined ? {} : { body }) });
    const opened: unknown = await (await call("POST", "/proxies", '{"answer":403}')).json();
    expect(opened).toMatchObject({ behaviour: { answer: 403 } });
    const { id, url } = cloud.proxies.list().at(-1) ?? { id: 0, url: "" };
    expect((await call("PUT", `/proxies/${id}`, '{"answer":"tunnel"}')).status).toBe(200);
    expect((await askProxy(url, cloud.hub("test"))).status).toBe(200);
    expect((await call("POST", `/proxies/${id}/cut`)).status).toBe(204);
    expect((await call("DELETE", `/proxies/${id}`)).status).toBe(204);
    expect((await call("DELETE", `/proxies/${id}`)).status).toBe(404);
    expect((await call("POST", "/proxies", '{"answer":200}')).status).toBe(400);
    await expect(askProxy(url, cloud.hub("test"))).rejects.toThrow("ECONNREFUSED");
  });
});
