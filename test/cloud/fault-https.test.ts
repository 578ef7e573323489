import { once } from "node:events";
import { connect } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { startCloud, type Cloud } from "./cloud.ts";
import { connectToDps, parseAnswer, provision } from "./test-device.ts";
import { httpsDevice } from "./test-dps-https.ts";

let cloud: Cloud;
let key: string;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0 });
  key = cloud.levers.enrollments.put({ registrationId: "gateway-1" }).primaryKey;
});
afterEach(() => cloud.faults.clear());
afterAll(async () => cloud[Symbol.asyncDispose]());

describe("over HTTPS", () => {
  it.each([
    ["register", 401, 401002],
    ["register", 429, 429001],
    ["register", 500, 500000],
    ["poll", 404, 404203],
    ["poll", 503, 503000],
    ["lookup", 404, 404202],
  ] as const)("the answer to %s is %i with errorCode %i", async (operation, status, errorCode) => {
    await provision(cloud, "gateway-1", key);
    const act = { act: "answer", status, errorCode, retryAfterSeconds: 9 } as const;
    cloud.faults.add({ endpoint: "dps", clientId: "gateway-1", when: { at: "request", operation }, do: act });
    const device = httpsDevice(cloud, "gateway-1", key);
    const answer = operation === "poll" ? await device.poll("5.1") : await device[operation]();
    expect(answer).toMatchObject({ status, headers: { "retry-after": "9" } });
    expect(parseAnswer(answer.body)).toMatchObject({ errorCode });
    expect(cloud.journal.events().at(-1)).toMatchObject({ kind: "fault", moment: operation, act: "answer" });
  });

  it.each(["", "<html>", '{"operationId":'])("the answer's body is %j", async (body) => {
    cloud.faults.add({
      when: { at: "request", operation: "register" },
      do: { act: "answer", status: 202, body },
    });
    expect(await httpsDevice(cloud, "gateway-1", key).register()).toMatchObject({ status: 202, body });
  });

  it.each([
    ["close", "socket hang up"],
    ["reset", "ECONNRESET"],
  ] as const)("the connection ends by %s instead of an answer, the second time", async (how, symptom) => {
    cloud.faults.add({ when: { at: "request", operation: "register", nth: 2 }, do: { act: "drop", how } });
    const device = httpsDevice(cloud, "gateway-1", key);
    expect(await device.register()).toMatchObject({ status: 202 });
    await expect(device.register()).rejects.toThrow(symptom);
    expect(await device.register()).toMatchObject({ status: 202 });
  });

  it("no answer comes", async () => {
    cloud.faults.add({ when: { at: "request", operation: "register" }, do: { act: "silence" } });
    const device = httpsDevice(cloud, "gateway-1", key, { signal: AbortSignal.timeout(100) });
    await expect(device.register()).rejects.toThrow("aborted");
  });

  it("the answer is late", async () => {
    cloud.faults.add({ when: { at: "request", operation: "register" }, do: { act: "delay", delayMs: 100 } });
    const startedAtMs = performance.now();
    expect(await httpsDevice(cloud, "gateway-1", key).register()).toMatchObject({ status: 202 });
    expect(performance.now() - startedAtMs).toBeGreaterThan(95);
  });
});

describe("over WebSocket", () => {
  it("the connection ends instead of a CONNACK", async () => {
    cloud.faults.add({ when: { at: "packet", packet: "connack" }, do: { act: "drop", how: "close" } });
    const webSocket = { protocol: "wss", port: cloud.dps.httpsPort, path: "/$iothub/websocket" } as const;
    await expect(connectToDps(cloud, "gateway-1", key, webSocket)).rejects.toThrow("closed without a word");
  });

  it("the TCP connection beneath is reset", async () => {
    cloud.faults.add({
      when: { at: "byte", byte: 1, direction: "fromDevice" },
      do: { act: "drop", how: "reset" },
    });
    const { host, httpsPort } = cloud.dps;
    // The library itself keeps the reason to itself.
    const carrier = connect({ host, port: httpsPort, ca: cloud.caPem });
    const failed = once(carrier, "error");
    const socket = new WebSocket(`wss://${host}:${httpsPort}/`, ["mqtt"], {
      createConnection: () => carrier,
    });
    await once(socket, "open");
    socket.send(Buffer.from([0x10, 0]));
    const errors: unknown[] = await failed;
    expect(String(errors[0])).toContain("ECONNRESET");
  });
});
