import { once } from "node:events";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import { sasToken } from "./test-device.ts";
import { connectNew } from "./test-hub-device.ts";

let cloud: Cloud;
let password: string;

beforeAll(async () => {
  cloud = await startCloud();
  const device = cloud.levers.putDevice("test", "raw", {});
  const key = "primaryKey" in device ? device.primaryKey : "";
  password = sasToken({ resource: `${cloud.hub("test").host}/devices/raw`, key });
});
afterAll(async () => cloud[Symbol.asyncDispose]());

interface Hello {
  readonly protocol?: string;
  readonly level?: number;
  readonly clientId?: string;
  /** User name, password, clean session. */
  readonly flags?: number;
}

/** A CONNECT by hand (MQTT 3.1.1 section 3.1). */
function connectPacket({ protocol = "MQTT", level = 4, clientId = "raw", flags = 0xc2 }: Hello = {}): Buffer {
  const username = `${cloud.hub("test").host}/raw/?api-version=2021-04-12`;
  const properties = level === 5 ? [Buffer.from([0])] : [];
  const body = Buffer.concat([
    text(protocol),
    Buffer.from([level, flags, 0, 60]),
    ...properties,
    ...[clientId, username, password].map(text),
  ]);
  return Buffer.concat([Buffer.from([0x10, (body.length & 0x7f) | 0x80, body.length >> 7]), body]);
}

/** Text with its length before it (MQTT 3.1.1 section 1.5.3). */
function text(value: string): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(Buffer.byteLength(value));
  return Buffer.concat([length, Buffer.from(value)]);
}

async function open(): Promise<TLSSocket> {
  const { host, port } = cloud.hub("test");
  const socket = connectTls({ host, port, ca: cloud.caPem });
  await once(socket, "secureConnect");
  return socket;
}

/** Everything that comes back until the hub closes. */
async function answerTo(...packets: Buffer[]): Promise<number[]> {
  const socket = await open();
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.on("error", () => {});
  for (const packet of packets) socket.write(packet);
  await once(socket, "close");
  return Array.from(Buffer.concat(chunks));
}

describe("a hub closes the connection after", () => {
  it.each<[string, Hello]>([
    ["MQTT 3.1", { protocol: "MQIsdp", level: 3 }],
    ["MQTT 5", { level: 5 }],
  ])("CONNACK 1 to %s", async (_name, hello) => {
    expect((await answerTo(connectPacket(hello))).slice(0, 4)).toEqual([0x20, 2, 0, 1]);
  });

  it("CONNACK 5 to an empty client ID", async () => {
    expect(await answerTo(connectPacket({ clientId: "" }))).toEqual([0x20, 2, 0, 5]);
  });

  it("CONNACK 0 when a second CONNECT follows", async () => {
    expect(await answerTo(connectPacket(), connectPacket())).toEqual([0x20, 2, 0, 0]);
  });

  it.each([
    ["a packet before CONNECT", () => Buffer.from([0xc0, 0])],
    ["rubbish", () => Buffer.from(`GET / HTTP/1.1\r\nUser-Agent: ${"x".repeat(100)}\r\n\r\n`)],
    ["a CONNECT with its reserved flag set", () => connectPacket({ flags: 0xc3 })],
  ])("no word to %s", async (_name, make) => {
    expect(await answerTo(make())).toEqual([]);
  });
});

describe("keep-alive", () => {
  it.each([0, 1179, 65_535])(
    "of %i s counts as 1178, so that the hub waits 1767 s at most",
    async (asked) => {
      const { lastSeq } = cloud.journal;
      await using device = await connectNew(cloud, "patient", { keepalive: asked, clean: true });
      expect(device.client.connected).toBe(true);
      expect(await cloud.waitFor(({ kind }) => kind === "connect", 1000, lastSeq)).toMatchObject({
        keepAliveSeconds: 1178,
      });
    },
  );

  it("is satisfied by pings alone", async () => {
    await using device = await connectNew(cloud, "pinger", { keepalive: 1, clean: true });
    // Two and a half times as long as a silent client is tolerated would take; nothing else can be awaited.
    await wait(2500);
    expect(device.client.connected).toBe(true);
  });
});
