import { beforeAll, expect, test } from "vitest";
import { openMqttLink } from "../../src/mqtt/mqtt-js-link.ts";
import type { Link } from "../../src/mqtt/link.ts";
import { Secret } from "../../src/platform/secret.ts";
import { createAuthority, type CertificateAuthority, type ServerCredentials } from "../cloud/certificates.ts";
import { accept, connack, RawServer, type Peer } from "./raw-server.ts";

/* Packets that a server should not send. Either the link goes on, or it is lost with a reason; nothing is thrown past it. */

const never = new AbortController().signal;
let authority: CertificateAuthority;
let good: ServerCredentials;

beforeAll(async () => {
  authority = await createAuthority("odd packets");
  good = await authority.issueServer("127.0.0.1", ["server.test"]);
});

async function open(server: RawServer, heard: string[]): Promise<Link> {
  const result = await openMqttLink(
    {
      host: server.host,
      port: server.port,
      trustedRoots: authority.caPem,
      clientId: "gw-1",
      username: "user",
      password: new Secret("hunter2"),
      cleanSession: true,
      keepAliveMs: 60_000,
      connectTimeoutMs: 5_000,
      onMessage: (topic) => heard.push(topic),
    },
    never,
  );
  if (result.status === "refused") throw new Error("refused");
  return result.link;
}

async function lost(link: Link): Promise<unknown> {
  if (!link.lost.aborted)
    await new Promise((resolve) => link.lost.addEventListener("abort", resolve, { once: true }));
  return link.lost.reason;
}

/** QoS 0 to topic `t` with payload `x`: the least that shows that messages come through. */
const publish = [0x30, 4, 0, 1, 0x74, 0x78];

const harmless: readonly (readonly [string, readonly number[]])[] = [
  ["a PUBACK for nothing", [0x40, 2, 0, 99]],
  ["a SUBACK for nothing", [0x90, 3, 0, 99, 1]],
  ["a PINGRESP that nobody asked for", [0xd0, 0]],
];

test.each(harmless)("case 51: %s changes nothing: the next message is heard", async (_, bytes) => {
  await using server = await RawServer.listen(good, accept);
  const heard: string[] = [];
  await using link = await open(server, heard);
  (await server.peer()).send(...bytes, ...publish);
  while (heard.length === 0 && !link.lost.aborted) await new Promise(setImmediate);
  expect(heard).toEqual(["t"]);
  expect(link.lost.aborted).toBe(false);
});

const fatal: readonly (readonly [string, (peer: Peer) => void])[] = [
  [
    "a PUBLISH that breaks off",
    (peer) => {
      peer.send(0x30, 40, 0, 1);
      peer.socket.end();
    },
  ],
  ["a CONNACK again", (peer) => peer.send(...connack(0))],
  ["a packet of a type that does not exist", (peer) => peer.send(0xf0, 2, 0, 0)],
  ["a PUBLISH of QoS 3", (peer) => peer.send(0x36, 6, 0, 1, 0x74, 0, 1, 0x78)],
  ["a length without end", (peer) => peer.send(0x30, 0xff, 0xff, 0xff, 0xff, 0x7f)],
];

test.each(fatal)("case 51: %s ends the link with a reason", async (_, send) => {
  await using server = await RawServer.listen(good, accept);
  const heard: string[] = [];
  await using link = await open(server, heard);
  send(await server.peer());
  expect(await lost(link)).toMatchObject({ code: "mqtt/connection-lost", remedy: "retry" });
  expect(heard).toEqual([]);
});
