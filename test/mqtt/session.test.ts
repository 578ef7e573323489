import { getEventListeners } from "node:events";
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { openMqttLink } from "../../src/mqtt/mqtt-js-link.ts";
import type { Link, LinkOptions } from "../../src/mqtt/link.ts";
import { createAuthority, type CertificateAuthority, type ServerCredentials } from "../cloud/certificates.ts";
import { failureOf } from "../failure-of.ts";
import { activeResources } from "../platform/active-resources.ts";
import { accept, publishId, RawServer, subscribeId, type Reaction } from "./raw-server.ts";

const never = new AbortController().signal;
let authority: CertificateAuthority;
let good: ServerCredentials;

beforeAll(async () => {
  authority = await createAuthority("link tests");
  good = await authority.issueServer("127.0.0.1", ["server.test"]);
});

function to(server: RawServer, more: Partial<LinkOptions> = {}): LinkOptions {
  return {
    host: server.host,
    port: server.port,
    trustedRoots: authority.caPem,
    clientId: "gw-1",
    username: "user",
    cleanSession: true,
    keepAliveMs: 60_000,
    connectTimeoutMs: 5_000,
    onMessage: () => {},
    ...more,
  };
}

async function open(server: RawServer, more: Partial<LinkOptions> = {}): Promise<Link> {
  const result = await openMqttLink(to(server, more), never);
  if (result.status === "refused") throw new Error("the server was to accept");
  return result.link;
}

/** Accepts CONNECT, and answers the rest as told. */
const butFor =
  (other: Reaction): Reaction =>
  (packet, peer) =>
    packet.name === "connect" ? accept(packet, peer) : other(packet, peer);
const silent = butFor(() => {});

const reason = new Error("stop");

describe("subscribing", () => {
  test("to a filter that the server refuses needs an operator, and the filter is named", async () => {
    const react = butFor((packet, peer) => {
      if (packet.name === "subscribe") peer.send(0x90, 4, ...subscribeId(packet), 1, 0x80);
    });
    await using server = await RawServer.listen(good, react);
    await using link = await open(server);
    const error = await failureOf(link.subscribe(["good/#", "bad/#"], never));
    expect(error).toMatchObject({ code: "mqtt/subscription-refused", remedy: "operator" });
    expect(error.message).toContain("bad/#");
    expect(error.message).not.toContain("good/#");
    expect(link.lost.aborted).toBe(false);
  });

  test.each([0, 1])("is granted also at QoS %i, which is less or what was asked for", async (granted) => {
    const react = butFor((packet, peer) => {
      if (packet.name === "subscribe") peer.send(0x90, 3, ...subscribeId(packet), granted);
    });
    await using server = await RawServer.listen(good, react);
    await using link = await open(server);
    await link.subscribe(["a/#"], never);
    expect((await server.peer()).names).toEqual(["connect", "subscribe"]);
  });
});

describe("publishing", () => {
  test("is done at PUBACK and not before", async () => {
    await using server = await RawServer.listen(good, silent);
    await using link = await open(server);
    const publishing = link.publish("a/b", "body", never);
    let isDone = false;
    const watching = publishing.finally(() => {
      isDone = true;
    });
    await server.until(() => server.packets.includes("publish"));
    const peer = await server.peer();
    const packet = peer.packets.at(-1);
    if (packet === undefined) throw new Error("unreachable");
    peer.send(0x40, 2, 0x7f, 0x7f);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(isDone).toBe(false);
    peer.send(0x40, 2, ...publishId(packet));
    await watching;
    expect(isDone).toBe(true);
    expect(packet.body.subarray(0, 5).toString()).toBe("\u0000\u0003a/b");
    expect(packet.body.subarray(7).toString()).toBe("body");
  });

  test("two at once are told apart by their identifiers, whichever PUBACK comes first", async () => {
    const waiting: (readonly number[])[] = [];
    const react = butFor((packet, peer) => {
      if (packet.name === "publish") waiting.push(publishId(packet));
      if (waiting.length === 2) for (const id of waiting.toReversed()) peer.send(0x40, 2, ...id);
    });
    await using server = await RawServer.listen(good, react);
    await using link = await open(server);
    await Promise.all([link.publish("a", "1", never), link.publish("b", "2", never)]);
    expect(server.packets).toEqual(["connect", "publish", "publish"]);
  });
});

describe("a server that never answers", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test.each([
    ["SUBSCRIBE", "no SUBACK for a/b within 30 s", async (link: Link) => link.subscribe(["a/b"], never)],
    ["PUBLISH", "no PUBACK for a/b within 30 s", async (link: Link) => link.publish("a/b", "", never)],
  ])("%s ends after 30 s, and only then", async (_, says, ask) => {
    await using server = await RawServer.listen(good, silent);
    const link = await open(server);
    const asking = failureOf(ask(link));
    await server.until(() => server.packets.length === 2);
    vi.advanceTimersByTime(29_999);
    await new Promise((resolve) => setImmediate(resolve));
    expect(vi.getTimerCount()).toBeGreaterThan(0);
    vi.advanceTimersByTime(1);
    const error = await asking;
    expect(error).toMatchObject({ code: "mqtt/no-answer", remedy: "retry", message: says });
    vi.useRealTimers();
    await link[Symbol.asyncDispose]();
  });
});

describe("messages", () => {
  test("arrive whole and in order, also byte by byte, and are acknowledged", async () => {
    const messages: string[] = [];
    await using server = await RawServer.listen(good, accept);
    await using link = await open(server, {
      onMessage: (topic, body) => messages.push(`${topic}=${String(body)}`),
    });
    const peer = await server.peer();
    for (const [id, body] of ["one", "two", "three"].entries()) {
      const packet = [0x32, 5 + body.length, 0, 1, 0x74, 0, id + 1, ...Buffer.from(body)];
      for (const byte of packet) {
        peer.send(byte);
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    await server.until(() => server.packets.filter((name) => name === "puback").length === 3);
    expect(messages).toEqual(["t=one", "t=two", "t=three"]);
    expect(link.lost.aborted).toBe(false);
  });
});

describe("a link that is lost", () => {
  test.each([
    ["ended by the server", (server: RawServer) => server.peers[0]?.socket.end()],
    ["reset", (server: RawServer) => server.peers[0]?.reset()],
    ["fed with what is no MQTT", (server: RawServer) => server.peers[0]?.send(0xff, 0xff, 0xff, 0xff, 0xff)],
  ])("because it was %s says so, and so does everything that waited", async (_, lose) => {
    await using server = await RawServer.listen(good, silent);
    await using link = await open(server);
    const lost = new Promise((resolve) => {
      link.lost.addEventListener("abort", () => resolve(link.lost.reason), { once: true });
    });
    const waiting = [failureOf(link.subscribe(["a/#"], never)), failureOf(link.publish("a", "b", never))];
    await server.until(() => server.packets.length === 3);
    lose(server);
    expect(await lost).toMatchObject({ code: "mqtt/connection-lost", remedy: "retry" });
    for (const error of await Promise.all(waiting)) {
      expect(error).toMatchObject({ code: "mqtt/connection-lost", remedy: "retry" });
      expect(error.message).toContain(`${server.host}:${server.port}`);
    }
    expect(await failureOf(link.publish("a", "b", never))).toBe(link.lost.reason);
    expect(await failureOf(link.subscribe(["a"], never))).toBe(link.lost.reason);
    await link[Symbol.asyncDispose]();
    await server.until(() => server.open === 0);
    expect(server.open).toBe(0);
  });

  test("never comes back by itself", async () => {
    await using server = await RawServer.listen(good, accept);
    await using link = await open(server);
    (await server.peer()).reset();
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    expect(link.lost.aborted).toBe(true);
    expect(server.packets).toEqual(["connect"]);
  });
});

describe("an abort leaves no connection and no listener", () => {
  test("that came before", async () => {
    await using server = await RawServer.listen(good, accept);
    await expect(openMqttLink(to(server), AbortSignal.abort(reason))).rejects.toBe(reason);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(server.packets).toEqual([]);
    await server.until(() => server.open === 0);
  });

  test.each([
    ["before TLS", false, 0],
    ["before CONNACK", true, 1],
  ])("%s", async (_, isTls, packets) => {
    const stop = new AbortController();
    await using server = await RawServer.listen(isTls ? good : undefined);
    const opening = openMqttLink(to(server), stop.signal);
    await server.until(() => server.open === 1 && (!isTls || server.packets.length === packets));
    stop.abort(reason);
    await expect(opening).rejects.toBe(reason);
    await server.until(() => server.open === 0);
    expect(getEventListeners(stop.signal, "abort")).toEqual([]);
  });

  test.each(["subscribe", "publish"] as const)("during %s, where the link itself lives on", async (what) => {
    const stop = new AbortController();
    await using server = await RawServer.listen(good, silent);
    await using link = await open(server);
    const asking =
      what === "subscribe" ? link.subscribe(["a/#"], stop.signal) : link.publish("a", "b", stop.signal);
    await server.until(() => server.packets.includes(what));
    stop.abort(reason);
    await expect(asking).rejects.toBe(reason);
    expect(link.lost.aborted).toBe(false);
    expect(getEventListeners(stop.signal, "abort")).toEqual([]);
    expect(getEventListeners(link.lost, "abort")).toEqual([]);
  });

  test("at any moment of connecting, to the millisecond", async () => {
    await using server = await RawServer.listen(good, accept);
    for (let round = 0; round < 40; round += 1) {
      const stop = new AbortController();
      const timer = setTimeout(() => stop.abort(reason), round / 2);
      try {
        const result = await openMqttLink(to(server), stop.signal);
        // It was faster than the abort: then it is ours to close.
        if (result.status === "open") await result.link[Symbol.asyncDispose]();
      } catch (error) {
        if (error !== reason) throw error;
      } finally {
        clearTimeout(timer);
      }
      expect(getEventListeners(stop.signal, "abort")).toEqual([]);
    }
    await server.until(() => server.open === 0);
    expect(server.open).toBe(0);
  });
});

describe("disposing", () => {
  test("says DISCONNECT, closes, and is no loss", async () => {
    await using server = await RawServer.listen(good, accept);
    const link = await open(server);
    await link[Symbol.asyncDispose]();
    await server.until(() => server.open === 0);
    expect(server.packets).toEqual(["connect", "disconnect"]);
  });

  test("twice is no fault", async () => {
    await using server = await RawServer.listen(good, accept);
    const link = await open(server);
    await link[Symbol.asyncDispose]();
    await link[Symbol.asyncDispose]();
    expect(server.packets.filter((name) => name === "disconnect")).toHaveLength(1);
  });

  test("with a request that nobody answers takes no longer than a second", async () => {
    await using server = await RawServer.listen(good, silent);
    const link = await open(server);
    const asking = failureOf(link.publish("a", "b", never));
    await server.until(() => server.packets.includes("publish"));
    const before = performance.now();
    await link[Symbol.asyncDispose]();
    expect(performance.now() - before).toBeLessThan(1_500);
    await server.until(() => server.open === 0);
    expect((await asking).code).toBe("mqtt/connection-lost");
  });

  test("leaves no timer and no socket behind, after many links", async () => {
    await using server = await RawServer.listen(good, accept);
    const first = await open(server);
    await first[Symbol.asyncDispose]();
    await server.until(() => server.open === 0);
    const before = activeResources("Timeout");
    for (let round = 0; round < 5; round += 1) {
      const link = await open(server);
      await link.subscribe(["a/#"], never);
      await link.publish("a", "b", never);
      await link[Symbol.asyncDispose]();
    }
    await server.until(() => server.open === 0);
    expect(activeResources("Timeout")).toBeLessThanOrEqual(before);
  });
});
