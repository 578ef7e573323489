import { beforeAll, describe, expect, test } from "vitest";
import { openMqttLink } from "../../src/mqtt/mqtt-js-link.ts";
import type { LinkOptions } from "../../src/mqtt/link.ts";
import { Secret } from "../../src/platform/secret.ts";
import { createAuthority, type CertificateAuthority, type ServerCredentials } from "../cloud/certificates.ts";
import { failureOf } from "../failure-of.ts";
import { accept, connack, RawServer, type Peer } from "./raw-server.ts";

const never = new AbortController().signal;
const day = 24 * 60 * 60_000;
let authority: CertificateAuthority;
let good: ServerCredentials;

beforeAll(async () => {
  authority = await createAuthority("link tests");
  good = await authority.issueServer("127.0.0.1", ["server.test"]);
});

function to(
  server: { readonly host: string; readonly port: number },
  more: Partial<LinkOptions> = {},
): LinkOptions {
  return {
    host: server.host,
    port: server.port,
    trustedRoots: authority.caPem,
    clientId: "gw-1",
    username: "user",
    password: new Secret("hunter2"),
    cleanSession: true,
    keepAliveMs: 60_000,
    connectTimeoutMs: 5_000,
    onMessage: () => {},
    ...more,
  };
}

describe("a CONNECT that is refused is an answer, with its number", () => {
  test.each([1, 2, 3, 4, 5, 77, 255])("CONNACK %i", async (returnCode) => {
    await using server = await RawServer.listen(good, (_, peer) => peer.send(...connack(returnCode)));
    expect(await openMqttLink(to(server), never)).toEqual({ status: "refused", returnCode });
    await (
      await server.peer()
    ).closed;
    expect(server.open).toBe(0);
  });
});

describe("no name, no port", () => {
  test("a name that DNS does not know", async () => {
    const error = await failureOf(openMqttLink(to({ host: "no-such-host.invalid", port: 8883 }), never));
    expect(error).toMatchObject({ code: "mqtt/name-not-found", remedy: "retry" });
    expect(error.message).toMatch(/^cannot connect to no-such-host\.invalid:8883: DNS does not/);
  });

  test("a port that is closed", async () => {
    const server = await RawServer.listen(undefined);
    const { host, port } = server;
    await server[Symbol.asyncDispose]();
    const error = await failureOf(openMqttLink(to({ host, port }), never));
    expect(error).toMatchObject({ code: "mqtt/unreachable", remedy: "retry" });
    expect(error.message).toBe(`cannot connect to ${host}:${port}: the port is closed`);
  });
});

describe("silence ends at the deadline, and the connection with it", () => {
  test.each([
    ["after TCP", false],
    ["after TLS and CONNECT", true],
  ])("%s", async (_stage, isTls) => {
    await using server = await RawServer.listen(isTls ? good : undefined);
    const error = await failureOf(openMqttLink(to(server, { connectTimeoutMs: 150 }), never));
    expect(error).toMatchObject({ code: "mqtt/connect-timeout", remedy: "retry" });
    expect(error.message).toBe(`${server.host}:${server.port} did not answer within 0.15 s`);
    await server.until(() => server.open === 0);
    expect(server.open).toBe(0);
  });
});

describe("a certificate that does not prove the name", () => {
  test("an authority that is not trusted here", async () => {
    const stranger = await createAuthority("stranger");
    await using server = await RawServer.listen(await stranger.issueServer("127.0.0.1", ["server.test"]));
    const error = await failureOf(openMqttLink(to(server), never));
    expect(error).toMatchObject({ code: "mqtt/tls-untrusted", remedy: "operator" });
    expect(error.message).toMatch(/authority that is not trusted here.*trust_bundle.*intercepts TLS/);
  });

  test("another name", async () => {
    await using server = await RawServer.listen(await authority.issueServer("127.9.9.9", ["other.test"]));
    const error = await failureOf(openMqttLink(to(server), never));
    expect(error).toMatchObject({ code: "mqtt/tls-wrong-name", remedy: "operator" });
    expect(error.message).toMatch(/made for another name/);
  });

  test.each([
    ["expired", -2 * day, -day, /has expired by this device's clock/],
    ["not yet valid", day, 2 * day, /is not yet valid by this device's clock/],
  ])("%s: the clock is to be looked at first", async (_, from, until, says) => {
    const [notBefore, notAfter] = [from, until].map((offset) => new Date(Date.now() + offset));
    const odd = await authority.issueServer("127.0.0.1", ["server.test"], notBefore, notAfter);
    await using server = await RawServer.listen(odd);
    const error = await failureOf(openMqttLink(to(server), never));
    expect(error).toMatchObject({ code: "mqtt/tls-validity", remedy: "operator" });
    expect(error.message).toMatch(says);
    expect(error.message).toMatch(/Check the clock first/);
  });

  test("the password is not sent to a server that did not prove its name", async () => {
    await using server = await RawServer.listen(
      await authority.issueServer("127.9.9.9", ["other.test"]),
      accept,
    );
    await failureOf(openMqttLink(to(server), never));
    await server.until(() => server.open === 0);
    expect(server.packets).toEqual([]);
  });
});

describe("what is no MQTT over TLS", () => {
  test("a server that speaks plain HTTP on the port: a captive portal or a proxy is suspected", async () => {
    await using server = await RawServer.listen(undefined);
    const connecting = failureOf(openMqttLink(to(server), never));
    (await server.peer()).socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    const error = await connecting;
    expect(error).toMatchObject({ code: "mqtt/tls-intercepted", remedy: "retry" });
    expect(error.message).toMatch(/does not speak TLS.*portal/);
  });

  test("a server that closes before the line is secure", async () => {
    await using server = await RawServer.listen(undefined);
    const connecting = failureOf(openMqttLink(to(server), never));
    (await server.peer()).socket.end();
    const error = await connecting;
    expect(error.remedy).toBe("retry");
    expect(["mqtt/closed-early", "mqtt/unreachable"]).toContain(error.code);
    expect(error.message).toMatch(/closed the connection before it was secure/);
  });

  test("a server that resets before the line is secure", async () => {
    await using server = await RawServer.listen(undefined);
    const connecting = failureOf(openMqttLink(to(server), never));
    (await server.peer()).reset();
    const error = await connecting;
    expect(error.remedy).toBe("retry");
    expect(error.message).toMatch(/closed the connection before it was secure/);
  });

  test.each([
    ["ends", (peer: Peer) => peer.socket.end()],
    ["resets", (peer: Peer) => peer.reset()],
  ])("a server that %s the line instead of CONNACK", async (_, finish) => {
    await using server = await RawServer.listen(good, (_packet, peer) => finish(peer));
    const error = await failureOf(openMqttLink(to(server), never));
    expect(error).toMatchObject({ code: "mqtt/closed-early", remedy: "retry" });
    expect(error.message).toMatch(/closed the connection before it answered CONNECT/);
  });

  test("a TLS server that speaks HTTP", async () => {
    await using server = await RawServer.listen(good, (_, peer) => {
      peer.socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    const error = await failureOf(openMqttLink(to(server, { connectTimeoutMs: 2_000 }), never));
    expect(error).toMatchObject({ code: "mqtt/not-mqtt", remedy: "retry" });
    expect(error.message).toMatch(/does not speak MQTT/);
    await server.until(() => server.open === 0);
    expect(server.open).toBe(0);
  });
});

describe("a good connection", () => {
  test.each([
    ["TLS 1.2", { maxVersion: "TLSv1.2" }],
    ["TLS 1.3", { minVersion: "TLSv1.3" }],
  ] as const)("opens over %s", async (_, versions) => {
    await using server = await RawServer.listen(good, accept, versions);
    const result = await openMqttLink(to(server), never);
    expect(result.status).toBe("open");
    if (result.status === "open") await result.link[Symbol.asyncDispose]();
  });

  test("opens although CONNACK comes byte by byte", async () => {
    await using server = await RawServer.listen(good, (_, peer) => {
      const bytes = [...connack(0)];
      const next = () => {
        const byte = bytes.shift();
        if (byte === undefined) return;
        peer.send(byte);
        setTimeout(next, 10);
      };
      next();
    });
    const result = await openMqttLink(to(server), never);
    expect(result.status).toBe("open");
    if (result.status === "open") await result.link[Symbol.asyncDispose]();
  });

  test.each([
    [true, 60_000, 0xc2],
    [false, 180_000, 0xc0],
  ])(
    "says what it was asked to: clean session %s, keep-alive %i ms",
    async (cleanSession, keepAliveMs, flags) => {
      await using server = await RawServer.listen(good, accept);
      const result = await openMqttLink(to(server, { cleanSession, keepAliveMs }), never);
      const connect = (await server.peer()).packets[0]?.body ?? Buffer.alloc(0);
      // 3.1.2: protocol name and level, flags, keep-alive in seconds, then client ID, user name and password.
      expect(connect.subarray(0, 7)).toEqual(Buffer.from([0, 4, ...Buffer.from("MQTT"), 4]));
      expect(connect[7]).toBe(flags);
      expect(connect.readUInt16BE(8)).toBe(keepAliveMs / 1000);
      expect(connect.subarray(10).toString()).toBe("\u0000\u0004gw-1\u0000\u0004user\u0000\u0007hunter2");
      if (result.status === "open") await result.link[Symbol.asyncDispose]();
    },
  );
});
