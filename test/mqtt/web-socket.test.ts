import { createHash } from "node:crypto";
import { getEventListeners } from "node:events";
import { beforeAll, describe, expect, test } from "vitest";
import { WebSocketServer } from "ws";
import { createServer } from "node:https";
import { openMqttLink } from "../../src/mqtt/mqtt-js-link.ts";
import type { LinkOptions } from "../../src/mqtt/link.ts";
import { createAuthority, type CertificateAuthority, type ServerCredentials } from "../cloud/certificates.ts";
import { failureOf } from "../failure-of.ts";
import { activeResources } from "../platform/active-resources.ts";
import { RawServer, type Peer, type Reaction } from "./raw-server.ts";

const never = new AbortController().signal;
const path = "/somewhere/websocket";
let authority: CertificateAuthority;
let good: ServerCredentials;

beforeAll(async () => {
  authority = await createAuthority("websocket tests");
  good = await authority.issueServer("127.0.0.1", ["server.test"]);
});

function to(
  server: { readonly host: string; readonly port: number },
  more: Partial<LinkOptions> = {},
): LinkOptions {
  return {
    host: server.host,
    // Nobody listens there: what goes there is refused.
    port: 1,
    transport: "websocket",
    webSocket: { port: server.port, path },
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

/** Does something once, at the first bytes of the request. */
const once =
  (act: (peer: Peer) => void): Reaction =>
  (_, peer) => {
    if (peer.packets.length === 1) act(peer);
  };

const answer = (text: string): Reaction => once((peer) => peer.socket.write(text));

describe("a WebSocket that is not opened", () => {
  test.each([
    ["HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "answered with HTTP 403"],
    ["HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "answered with HTTP 503"],
    ["HTTP/1.1 302 Found\r\nLocation: https://login.test/\r\nContent-Length: 0\r\n\r\n", "with HTTP 302"],
    [
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
      "something else",
    ],
    ["220 mail.test ESMTP\r\n", "something else"],
  ])("because of %j is told, with what was answered", async (text, says) => {
    await using server = await RawServer.listen(good, answer(text));
    const error = await failureOf(openMqttLink(to(server), never));
    expect(error).toMatchObject({ code: "mqtt/websocket-refused", remedy: "retry" });
    expect(error.message).toContain(`${server.host}:${server.port} was asked for a WebSocket`);
    expect(error.message).toContain(says);
    await server.until(() => server.open === 0);
  });

  test("because the server speaks MQTT there and no HTTP", async () => {
    await using server = await RawServer.listen(
      good,
      once((peer) => peer.send(0x20, 2, 0, 0)),
    );
    expect(await failureOf(openMqttLink(to(server), never))).toMatchObject({
      code: "mqtt/websocket-refused",
    });
  });

  test.each([
    ["ends", (peer: Peer) => peer.socket.end()],
    ["resets", (peer: Peer) => peer.reset()],
  ])("because the server %s the line", async (_, finish) => {
    await using server = await RawServer.listen(good, once(finish));
    const error = await failureOf(openMqttLink(to(server), never));
    expect(error).toMatchObject({ code: "mqtt/closed-early", remedy: "retry" });
  });

  test("because the server says nothing ends at the deadline, and the connection with it", async () => {
    await using server = await RawServer.listen(good);
    const error = await failureOf(openMqttLink(to(server, { connectTimeoutMs: 150 }), never));
    expect(error).toMatchObject({ code: "mqtt/connect-timeout" });
    expect(error.message).toBe(`${server.host}:${server.port} did not answer within 0.15 s`);
    await server.until(() => server.open === 0);
  });

  test("because of an abort leaves no connection and no listener", async () => {
    const stop = new AbortController();
    await using server = await RawServer.listen(good);
    const opening = openMqttLink(to(server), stop.signal);
    await server.until(() => server.packets.length > 0);
    stop.abort(new Error("stop"));
    await expect(opening).rejects.toThrow("stop");
    await server.until(() => server.open === 0);
    expect(getEventListeners(stop.signal, "abort")).toEqual([]);
  });

  test("because the certificate bears another name: nothing was asked", async () => {
    const other = await authority.issueServer("127.9.9.9", ["other.test"]);
    await using server = await RawServer.listen(other);
    const error = await failureOf(openMqttLink(to(server), never));
    expect(error).toMatchObject({ code: "mqtt/tls-wrong-name", remedy: "operator" });
    expect(server.packets).toEqual([]);
  });

  test("case 50: never becomes MQTT over TLS", async () => {
    await using plain = await RawServer.listen(good);
    await using refusing = await RawServer.listen(
      good,
      answer("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"),
    );
    const { port } = refusing;
    const error = await failureOf(openMqttLink(to(refusing, { port: plain.port }), never));
    expect(error).toMatchObject({ code: "mqtt/websocket-refused" });
    await refusing[Symbol.asyncDispose]();
    const closed = await failureOf(
      openMqttLink(to(plain, { port: plain.port, webSocket: { port, path } }), never),
    );
    expect(closed).toMatchObject({ code: "mqtt/unreachable" });
    expect(closed.message).toContain(`127.0.0.1:${port}`);
    expect(plain.peers).toEqual([]);
  });
});

describe("what comes through a WebSocket and is no MQTT", () => {
  test.each([
    ["a frame that RFC 6455 forbids", [0xff, 0x00]],
    ["a text message", [0x81, 2, 0x68, 0x69]],
  ])("%s", async (_, bytes) => {
    let request = "";
    await using server = await RawServer.listen(good);
    const connecting = failureOf(openMqttLink(to(server), never));
    const peer = await server.peer();
    const asked = Promise.withResolvers<void>();
    peer.socket.on("data", (chunk: Buffer) => {
      request += chunk.toString("latin1");
      if (request.includes("\r\n\r\n")) asked.resolve();
    });
    await asked.promise;
    peer.socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Accept: ${acceptOf(request)}\r\n\r\n`,
    );
    peer.send(...bytes);
    expect(await connecting).toMatchObject({ code: "mqtt/not-mqtt", remedy: "retry" });
    await server.until(() => server.open === 0);
  });
});

/** RFC 6455 section 4.2.2. */
function acceptOf(request: string): string {
  const key = /^sec-websocket-key: (.*)$/im.exec(request)?.[1] ?? "";
  return createHash("sha1").update(`${key.trim()}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}

/** An MQTT server over WebSocket that accepts everything and acknowledges every PUBLISH. */
async function listen(): Promise<
  AsyncDisposable & {
    port: number;
    host: string;
    urls: (string | undefined)[];
    hosts: (string | undefined)[];
  }
> {
  const https = createServer({ cert: good.certPem, key: good.keyPem });
  const urls: (string | undefined)[] = [];
  const hosts: (string | undefined)[] = [];
  const server = new WebSocketServer({ server: https });
  server.on("connection", (socket, request) => {
    urls.push(request.url);
    hosts.push(request.headers.host);
    socket.on("message", (data: Buffer) => {
      const kind = (data[0] ?? 0) >> 4;
      if (kind === 1) socket.send(Buffer.from([0x20, 2, 0, 0]));
      if (kind === 3) {
        // The test's body makes the remaining length three bytes long.
        const at = 6 + data.readUInt16BE(4);
        socket.send(Buffer.from([0x40, 2, ...data.subarray(at, at + 2)]));
      }
    });
  });
  await new Promise<void>((resolve) => https.listen(0, "127.0.0.1", resolve));
  const address = https.address();
  return {
    host: "127.0.0.1",
    port: typeof address === "object" && address !== null ? address.port : 0,
    urls,
    hosts,
    async [Symbol.asyncDispose]() {
      for (const client of server.clients) client.terminate();
      await new Promise((resolve) => https.close(resolve));
    },
  };
}

describe("a WebSocket that is opened", () => {
  test("asks for the path, names the host, and carries MQTT both ways", async () => {
    await using server = await listen();
    const result = await openMqttLink(to(server), never);
    if (result.status === "refused") throw new Error("the server was to accept");
    await result.link.publish("a/b", "x".repeat(70_000), never);
    expect(server.urls).toEqual([path]);
    expect(server.hosts).toEqual([`127.0.0.1:${server.port}`]);
    expect(result.link.lost.aborted).toBe(false);
    await result.link[Symbol.asyncDispose]();
  });

  test("leaves no timer and no socket behind, after many links", async () => {
    await using server = await listen();
    const once = async () => {
      const result = await openMqttLink(to(server), never);
      if (result.status === "open") await result.link[Symbol.asyncDispose]();
    };
    await once();
    const [timers, sockets] = [activeResources("Timeout"), activeResources("TCPSocketWrap")];
    const rounds = 30;
    for (let round = 0; round < rounds; round += 1) await once();
    expect(activeResources("Timeout") - timers).toBeLessThan(rounds / 4);
    expect(activeResources("TCPSocketWrap") - sockets).toBeLessThan(rounds / 4);
  });
});
