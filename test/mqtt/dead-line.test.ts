import { beforeAll, describe, expect, test } from "vitest";
import { openMqttLink } from "../../src/mqtt/mqtt-js-link.ts";
import type { Link } from "../../src/mqtt/link.ts";
import { createAuthority, type CertificateAuthority, type ServerCredentials } from "../cloud/certificates.ts";
import { accept, RawServer, type Reaction } from "./raw-server.ts";

const never = new AbortController().signal;
const keepAliveMs = 1_000;
let authority: CertificateAuthority;
let good: ServerCredentials;

beforeAll(async () => {
  authority = await createAuthority("dead line tests");
  good = await authority.issueServer("127.0.0.1", ["server.test"]);
});

/** Answers CONNECT and pings. */
const alive: Reaction = (packet, peer) => {
  if (packet.name === "pingreq") peer.send(0xd0, 0);
  else accept(packet, peer);
};

async function open(server: RawServer): Promise<Link> {
  const result = await openMqttLink(
    {
      host: server.host,
      port: server.port,
      trustedRoots: authority.caPem,
      clientId: "gw-1",
      username: "user",
      cleanSession: true,
      keepAliveMs,
      connectTimeoutMs: 5_000,
      onMessage: () => {},
    },
    never,
  );
  if (result.status === "refused") throw new Error("the server was to accept");
  return result.link;
}

async function lost(link: Link): Promise<unknown> {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  link.lost.addEventListener("abort", () => resolve(link.lost.reason), { once: true });
  return promise;
}

describe("in real time, with a keep-alive of 1 s", { timeout: 20_000 }, () => {
  test.concurrent("case 48: an idle session lives on, with one ping in a keep-alive", async () => {
    await using server = await RawServer.listen(good, alive);
    await using link = await open(server);
    const startedAt = performance.now();
    await server.until(() => server.packets.length === 5);
    const tookMs = performance.now() - startedAt;
    expect(server.packets).toEqual(["connect", "pingreq", "pingreq", "pingreq", "pingreq"]);
    expect(tookMs).toBeGreaterThan(3_900);
    expect(link.lost.aborted).toBe(false);
  });

  test.concurrent("row 53, case 48: a PINGRESP that never comes ends the line within 1.5 keep-alives and 10 s", async () => {
    await using server = await RawServer.listen(good, (packet, peer) => {
      if (packet.name === "connect") accept(packet, peer);
    });
    await using link = await open(server);
    const openedAt = performance.now();
    const reason = await lost(link);
    expect(performance.now() - openedAt).toBeLessThan(1.5 * keepAliveMs + 10_000);
    expect(reason).toMatchObject({ code: "mqtt/line-dead", remedy: "retry" });
    expect(String(reason)).toMatch(/fell silent 11 s ago and did not answer a ping within 9\.5 s/);
    await server.until(() => server.open === 0);
    expect(server.packets).toEqual(["connect", "pingreq"]);
  });

  test.concurrent("case 48: an answer that is late by more than a keep-alive is no drop", async () => {
    await using server = await RawServer.listen(good, (packet, peer) => {
      if (packet.name === "connect") accept(packet, peer);
      if (packet.name === "pingreq") setTimeout(() => peer.send(0xd0, 0), 1_500);
    });
    await using link = await open(server);
    await server.until(() => server.packets.length === 4);
    expect(link.lost.aborted).toBe(false);
  });
});
