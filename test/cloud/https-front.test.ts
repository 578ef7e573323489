import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { startCloud, type Cloud } from "./cloud.ts";
import {
  connectToDps,
  connectToHub,
  dpsTopics,
  parseAnswer,
  provision,
  refusalOf,
  twinTopics,
} from "./test-device.ts";
import { askHttps } from "./test-https.ts";

let cloud: Cloud;
let key: string;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0 });
  key = cloud.levers.enrollments.put({ registrationId: "gateway-1" }).primaryKey;
  await provision(cloud, "gateway-1", key);
});
afterAll(async () => cloud[Symbol.asyncDispose]());

const overWebSocket = (endpoint: string, path = "/$iothub/websocket") => ({
  protocol: "wss" as const,
  port: cloud.levers.endpoint(endpoint).httpsPort,
  path,
});

function openWebSocket(endpoint: string, protocols: string[]): WebSocket {
  const { host, httpsPort } = cloud.levers.endpoint(endpoint);
  return new WebSocket(`wss://${host}:${httpsPort}/$iothub/websocket`, protocols, { ca: cloud.caPem });
}

describe.each(["dps", "test"])("the WebSocket of %s", (endpoint) => {
  it.each([
    ["none", []],
    ["another", ["amqp"]],
  ])("is refused with 400 when %s subprotocol is offered", async (_name, protocols) => {
    const socket = openWebSocket(endpoint, protocols);
    const errors: unknown[] = await once(socket, "error");
    expect(String(errors[0])).toContain("400");
  });

  it("is closed with 1003 after a text frame", async () => {
    const socket = openWebSocket(endpoint, ["mqtt"]);
    await once(socket, "open");
    socket.send("hello");
    const closed: unknown[] = await once(socket, "close");
    expect(closed[0]).toBe(1003);
  });

  it.each([[["mqtt"]], [["MQTT"]], [["amqp", "Mqtt"]]])("echoes the spelling offered: %j", async (offer) => {
    const socket = openWebSocket(endpoint, offer);
    await once(socket, "open");
    expect(socket.protocol).toBe(offer.at(-1));
    socket.terminate();
  });

  it("goes away with the line", async () => {
    const socket = openWebSocket(endpoint, ["mqtt"]);
    await once(socket, "open");
    const closed = once(socket, "close");
    await cloud.levers.setLine(endpoint, false);
    await closed;
    const refused = openWebSocket(endpoint, ["mqtt"]);
    const errors: unknown[] = await once(refused, "error");
    expect(String(errors[0])).toContain("ECONNREFUSED");
    await cloud.levers.setLine(endpoint, true);
  });
});

describe("MQTT over WebSocket", () => {
  it("is refused by DPS and hub as it is over TCP", async () => {
    const wrong = { clientId: "other" };
    expect(
      await refusalOf(connectToDps(cloud, "gateway-1", key, { ...overWebSocket("dps"), ...wrong })),
    ).toBe(5);
    const attempt = connectToHub(cloud, "test", "gateway-1", key, { ...overWebSocket("test"), ...wrong });
    expect(await refusalOf(attempt)).toBe(5);
  });

  it.each(["/$iothub/websocket", "/"])("provisions a device on the path %s", async (path) => {
    await using device = await connectToDps(cloud, "gateway-1", key, overWebSocket("dps", path));
    await device.client.subscribeAsync(dpsTopics.answers, { qos: 1 });
    const { status, body } = await device.ask(dpsTopics.register);
    expect(status).toBe(202);
    const final = await device.ask(dpsTopics.poll(parseAnswer(body).operationId ?? ""));
    expect(parseAnswer(final.body)).toMatchObject({ status: "assigned" });
  });

  it("carries the twin and is evicted by a connection over TCP", async () => {
    await using device = await connectToHub(cloud, "test", "gateway-1", key, overWebSocket("test"));
    await device.client.subscribeAsync([twinTopics.answers, twinTopics.desired], { qos: 1 });
    expect(await device.ask(twinTopics.get, "")).toMatchObject({ status: 200 });
    cloud.levers.patchTwin("test", "gateway-1", { desired: { level: 3 } });
    expect((await device.next("$iothub/twin/PATCH")).body).toContain('"level":3');
    await using successor = await connectToHub(cloud, "test", "gateway-1", key);
    await device.closed;
    expect(successor.client.connected).toBe(true);
  });
});

describe("HTTPS", () => {
  it("of a hub knows no file upload", async () => {
    expect(await askHttps(cloud, "test", { path: "/devices/gateway-1/files" })).toMatchObject({
      status: 404,
    });
  });

  it("listens where it is told to, and fails to start when the port is taken", async () => {
    await using other = await startCloud({ httpsPort: 8443 });
    expect(other.dps.httpsPort).toBe(8443);
    await expect(startCloud({ network: other.network, port: 18883, httpsPort: 8443 })).rejects.toThrow(
      "EADDRINUSE",
    );
  });

  it("takes a free port when 443 is taken and none was given", async () => {
    await using other = await startCloud({ httpsPort: 443 });
    await using second = await startCloud({ network: other.network, port: 18883 });
    expect(second.dps.httpsPort).not.toBe(443);
    await using device = await connectToDps(second, "x", "AAAA", { port: 18883 });
    expect(device.client.connected).toBe(true);
  });
});
