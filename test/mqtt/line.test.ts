import { setImmediate as turn } from "node:timers/promises";
import { beforeEach, describe, expect, test } from "vitest";
import { AgentError } from "../../src/platform/failure.ts";
import { failureOf } from "../failure-of.ts";
import { Site } from "./site.ts";

const never = new AbortController().signal;
const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

let site: Site;
beforeEach(() => {
  site = new Site();
});

describe("a transport that the operator named is the only one tried", () => {
  test.each(["mqtt", "websocket"] as const)("%s", async (transport) => {
    site.mqtt = "mqtt/unreachable";
    site.webSocket = "mqtt/unreachable";
    for (let times = 0; times < 5; times += 1) await failureOf(site.open({ transport }));
    expect(new Set(site.ways())).toEqual(new Set([transport]));
    expect(site.written).toEqual([]);
  });
});

describe("row 4: 8883 is blocked and 443 is open", () => {
  test.each([
    "mqtt/unreachable",
    "mqtt/connect-timeout",
    "mqtt/closed-early",
    "mqtt/tls-intercepted",
    "platform/proxy-failed",
  ])("%s: the second failure in a row leads to WebSocket, at once", async (code) => {
    site.mqtt = code;
    expect(await failureOf(site.open())).toMatchObject({ code });
    expect(site.ways()).toEqual(["mqtt"]);
    expect((await site.open()).status).toBe("open");
    expect(site.ways()).toEqual(["mqtt", "websocket"]);
  });

  test("a proxy that forbids 8883 is taken at its word", async () => {
    site.mqtt = "platform/proxy-forbids";
    expect((await site.open()).status).toBe("open");
    expect(site.ways()).toEqual(["mqtt", "websocket"]);
  });

  test("is remembered for that network, over restarts, and nothing is written any more", async () => {
    await block();
    expect(site.written).toHaveLength(1);
    await site.open();
    site.restart();
    await site.open();
    expect(site.ways()).toEqual(["websocket", "websocket"]);
    expect(site.written).toHaveLength(1);
    site.network = "wlan0 via 192.168.1.1";
    site.mqtt = undefined;
    await site.open();
    expect(site.ways()).toEqual(["mqtt"]);
  });

  test("is looked at again after a day, for no longer than 10 s, and then not before another day", async () => {
    await block();
    site.clock.advance(day);
    site.mqtt = "mqtt/connect-timeout";
    await site.open();
    expect(site.tried.map(({ connectTimeoutMs }) => connectTimeoutMs)).toEqual([10_000, 30_000]);
    expect(site.ways()).toEqual(["mqtt", "websocket"]);
    site.clock.advance(day - 1);
    await site.open();
    expect(site.ways()).toEqual(["websocket"]);
    site.clock.advance(1);
    site.mqtt = undefined;
    await site.open();
    await site.open();
    expect(site.ways()).toEqual(["mqtt", "mqtt"]);
    expect(site.written.at(-1)).toEqual([]);
  });

  test("a clock that was set back does not make it last longer", async () => {
    await block();
    site.clock.jump(-10 * day);
    site.mqtt = undefined;
    await site.open();
    expect(site.ways()).toEqual(["mqtt"]);
  });

  test("a network that later closes 443 and opens 8883 is noticed too", async () => {
    await block();
    site.mqtt = undefined;
    site.webSocket = "mqtt/unreachable";
    await failureOf(site.open());
    expect((await site.open()).status).toBe("open");
    expect(site.ways()).toEqual(["websocket", "websocket", "mqtt"]);
    expect(site.written.at(-1)).toEqual([]);
  });

  test("a dead network says nothing about ports, and 443 is not knocked at each time", async () => {
    site.mqtt = "mqtt/unreachable";
    site.webSocket = "mqtt/connect-timeout";
    const codes: string[] = [];
    for (let times = 0; times < 4; times += 1) codes.push((await failureOf(site.open())).code);
    expect(new Set(codes)).toEqual(new Set(["mqtt/unreachable"]));
    expect(site.ways()).toEqual(["mqtt", "mqtt", "websocket", "mqtt", "mqtt", "websocket"]);
    expect(site.written).toEqual([]);
  });

  test.each(["mqtt/name-not-found", "mqtt/tls-untrusted", "platform/proxy-unreachable", "mqtt/not-mqtt"])(
    "%s is no blocked port",
    async (code) => {
      site.mqtt = code;
      for (let times = 0; times < 4; times += 1) await failureOf(site.open());
      expect(new Set(site.ways())).toEqual(new Set(["mqtt"]));
    },
  );

  test("a single accident is forgotten by the next success", async () => {
    for (let times = 0; times < 3; times += 1) {
      site.mqtt = "mqtt/unreachable";
      await failureOf(site.open());
      site.mqtt = undefined;
      await site.open();
    }
    expect(new Set(site.ways())).toEqual(new Set(["mqtt"]));
  });
});

describe("row 53: the keep-alive of a network", () => {
  test("is shortened by each line that died of silence and was back soon, to the least and not below", async () => {
    await site.open();
    for (let times = 0; times < 8; times += 1) await dieOfSilence();
    await site.open();
    expect(keepAlives()).toEqual([
      180_000, 135_000, 101_250, 75_938, 56_954, 42_716, 32_037, 30_000, 30_000, 30_000,
    ]);
  });

  test("is not shortened where the network was away, where another one serves, or the line ended otherwise", async () => {
    await site.open();
    site.last?.end("mqtt/line-dead");
    site.clock.advance(5 * minute);
    await site.open();
    site.last?.end("mqtt/line-dead");
    site.network = "wwan0 without a gateway";
    await site.open();
    site.last?.end("mqtt/connection-lost");
    await site.open();
    expect(new Set(keepAlives())).toEqual(new Set([180_000]));
    expect(site.written).toEqual([]);
  });

  test("is not shortened by a line that was probed to death", async () => {
    await site.open();
    const probing = site.line.probe(never);
    site.last?.end("mqtt/line-dead");
    expect(await probing).toBe(false);
    await site.open();
    await site.open();
    expect(new Set(keepAlives())).toEqual(new Set([180_000]));
  });

  test("is lengthened by a quarter a day, remembered over restarts, and forgotten once it is what was wanted", async () => {
    await site.open();
    await dieOfSilence();
    await dieOfSilence();
    site.ways();
    for (let days = 0; days < 5; days += 1) {
      site.restart();
      site.clock.advance(day - hour);
      await site.open();
      site.clock.advance(hour);
      await site.open();
    }
    expect(keepAlives()).toEqual([
      101_250, 126_563, 126_563, 158_204, 158_204, 180_000, 180_000, 180_000, 180_000, 180_000,
    ]);
    expect(site.written.at(-1)).toEqual([]);
  });

  test("that may not be shortened is left alone, and nothing is written", async () => {
    site.bounds = { leastMs: 180_000, mostMs: 180_000 };
    site.restart();
    await site.open();
    await dieOfSilence();
    expect(keepAlives()).toEqual([180_000, 180_000]);
    expect(site.written).toEqual([]);
  });

  test("that is shorter already stays as it is", async () => {
    await site.open();
    await dieOfSilence();
    await site.open({ host: "dps.test", keepAliveMs: minute });
    expect(keepAlives().at(-1)).toBe(minute);
  });
});

describe("probing", () => {
  test("asks every open line, and knows who answered", async () => {
    await site.open();
    const probing = site.line.probe(never);
    await turn();
    expect(site.last?.probes).toBe(1);
    site.clock.advance(6_000);
    expect(await probing).toBe(true);
  });

  test("finds nobody where nothing is open", async () => {
    expect(await site.line.probe(never)).toBe(false);
    await site.open();
    await site.last?.[Symbol.asyncDispose]();
    expect(await site.line.probe(never)).toBe(false);
    expect(site.clock.asked).toEqual([]);
  });
});

describe("row 10: attempts over a network that is gone", () => {
  test("are given up, and fresh ones are not", async () => {
    const hanging = Promise.withResolvers<never>();
    site.hang = hanging.promise;
    const old = failureOf(site.open());
    await turn();
    site.clock.advance(2_000);
    const fresh = site.open();
    await turn();
    site.line.abandon("eth0 via 10.0.0.2 in place of no way out");
    const error = await old;
    expect(error).toMatchObject({ code: "mqtt/network-changed", remedy: "retry" });
    expect(error.message).toContain("eth0 via 10.0.0.2 in place of no way out");
    expect(site.line.isBusy).toBe(true);
    hanging.reject(new AgentError("mqtt/unreachable", "retry", "it failed"));
    expect(await failureOf(fresh)).toMatchObject({ code: "mqtt/unreachable" });
    expect(site.line.isBusy).toBe(false);
  });
});

async function block(): Promise<void> {
  site.mqtt = "platform/proxy-forbids";
  await site.open();
  site.ways();
}

async function dieOfSilence(): Promise<void> {
  site.last?.end("mqtt/line-dead");
  site.clock.advance(5_000);
  await site.open();
}

function keepAlives(): readonly number[] {
  return site.tried.splice(0).map(({ keepAliveMs }) => keepAliveMs);
}
