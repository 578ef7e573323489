import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { openMqttLink } from "../../src/mqtt/mqtt-js-link.ts";
import type { Link, LinkOptions } from "../../src/mqtt/link.ts";
import { createAuthority, type CertificateAuthority, type ServerCredentials } from "../cloud/certificates.ts";
import { failureOf } from "../failure-of.ts";
import { accept, connack, RawServer, subscribeId, type Reaction } from "./raw-server.ts";

const never = new AbortController().signal;
/** Long enough for what must not happen. */
const quietMs = 100;
let authority: CertificateAuthority;
let good: ServerCredentials;
beforeAll(async () => {
  authority = await createAuthority("late tests");
  good = await authority.issueServer("127.0.0.1", ["server.test"]);
});

/** Everything that the link tells its owner. */
class Owner {
  readonly told: string[] = [];

  to(server: RawServer): LinkOptions {
    return {
      host: server.host,
      port: server.port,
      trustedRoots: authority.caPem,
      clientId: "gw-1",
      username: "user",
      cleanSession: true,
      keepAliveMs: 60_000,
      connectTimeoutMs: 5_000,
      onMessage: (topic) => this.told.push(topic),
    };
  }

  async open(server: RawServer): Promise<Link> {
    const result = await openMqttLink(this.to(server), never);
    if (result.status === "refused") throw new Error("the server was to accept");
    return result.link;
  }
}

const butFor =
  (other: Reaction): Reaction =>
  (packet, peer) =>
    packet.name === "connect" ? accept(packet, peer) : other(packet, peer);
const silent = butFor(() => {});
/** PUBLISH of "x" to "t" at QoS 0. */
const publish = [0x30, 4, 0, 1, 0x74, 0x78];

describe("case 46, row 28: what comes after the close is ignored", () => {
  test("CONNACK, and a message behind it", async () => {
    const owner = new Owner();
    const stop = new AbortController();
    await using server = await RawServer.listen(good);
    const opening = openMqttLink(owner.to(server), stop.signal);
    await server.until(() => server.packets.includes("connect"));
    const peer = await server.peer();
    stop.abort(new Error("stop"));
    peer.send(...connack(0), ...publish);
    await expect(opening).rejects.toThrow("stop");
    await server.until(() => server.open === 0);
    await sleep(quietMs);
    expect(owner.told).toEqual([]);
    expect(server.packets).toEqual(["connect"]);
  });

  test("SUBACK", async () => {
    const owner = new Owner();
    await using server = await RawServer.listen(good, silent);
    const link = await owner.open(server);
    const asking = failureOf(link.subscribe(["a/#"], never));
    await server.until(() => server.packets.includes("subscribe"));
    const peer = await server.peer();
    const [, packet] = peer.packets;
    await link[Symbol.asyncDispose]();
    if (packet !== undefined) peer.send(0x90, 3, ...subscribeId(packet), 1);
    expect((await asking).code).toBe("mqtt/connection-lost");
    await server.until(() => server.open === 0);
  });
});

test("case 45: a close while connecting tells the owner nothing more, and nobody reconnects", async () => {
  const owner = new Owner();
  await using server = await RawServer.listen(good, (packet, peer) => {
    setTimeout(() => {
      accept(packet, peer);
      peer.send(...publish);
    }, 30);
  });
  const stop = new AbortController();
  const opening = openMqttLink(owner.to(server), stop.signal);
  await server.until(() => server.packets.includes("connect"));
  stop.abort(new Error("stop"));
  await expect(opening).rejects.toThrow("stop");
  await sleep(1_500);
  expect(owner.told).toEqual([]);
  expect(server.packets).toEqual(["connect"]);
  expect(server.open).toBe(0);
});

describe("case 51: bytes that a network makes of packets", () => {
  test("a truncated PUBLISH before the end is no message, and the loss is told", async () => {
    const owner = new Owner();
    await using server = await RawServer.listen(good, silent);
    await using link = await owner.open(server);
    const lost = new Promise((resolve) => {
      link.lost.addEventListener("abort", () => resolve(link.lost.reason), { once: true });
    });
    const peer = await server.peer();
    peer.send(...publish, ...publish.slice(0, -1));
    peer.socket.end();
    expect(await lost).toMatchObject({ code: "mqtt/connection-lost", remedy: "retry" });
    expect(owner.told).toEqual(["t"]);
  });

  test("PUBACK, SUBACK and UNSUBACK for identifiers that nobody used do no harm", async () => {
    const owner = new Owner();
    await using server = await RawServer.listen(good, silent);
    await using link = await owner.open(server);
    const peer = await server.peer();
    peer.send(0x40, 2, 0x12, 0x34, 0x90, 3, 0x12, 0x34, 1, 0xb0, 2, 0x12, 0x34, ...publish);
    while (owner.told.length === 0) await sleep(5);
    expect(link.lost.aborted).toBe(false);
  });
});

test("case 52, row 45: filters are refused one by one, and a smaller grant is a grant", async () => {
  const owner = new Owner();
  await using server = await RawServer.listen(
    good,
    butFor((packet, peer) => {
      if (packet.name === "subscribe") peer.send(0x90, 5, ...subscribeId(packet), 0, 0x80, 1);
    }),
  );
  await using link = await owner.open(server);
  const error = await failureOf(link.subscribe(["twin/#", "methods/#", "messages/#"], never));
  expect(error).toMatchObject({ code: "mqtt/subscription-refused", remedy: "operator" });
  expect(error.message).toBe("the server refused the subscription methods/#");
  expect(link.lost.aborted).toBe(false);
});
