import { chmodSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { readProxy, type Proxy } from "../../src/platform/proxy.ts";
import { openTunnel } from "../../src/platform/proxy-tunnel.ts";
import { Secret } from "../../src/platform/secret.ts";
import { failureOf } from "../failure-of.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

const never = new AbortController().signal;
const target = { host: "hub.azure-devices.net", port: 8883 };

/** A proxy that says what it is told, once it has read the whole request. */
class Speaker implements AsyncDisposable {
  readonly requests: string[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #asked = Promise.withResolvers<void>();

  constructor(answer: (socket: Socket) => unknown) {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket)).on("error", () => {});
      let request = "";
      socket.on("data", (chunk) => {
        request += String(chunk);
        if (!request.endsWith("\r\n\r\n")) return;
        this.requests.push(request);
        this.#asked.resolve();
        answer(socket);
      });
    });
  }

  async listen(): Promise<Proxy> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    const address = this.#server.address();
    return { host: "127.0.0.1", port: typeof address === "object" && address !== null ? address.port : 0 };
  }

  async asked(): Promise<void> {
    await this.#asked.promise;
  }

  get open(): number {
    return this.#sockets.size;
  }

  async closed(): Promise<void> {
    await Promise.all(
      [...this.#sockets].map(async (socket) => new Promise((resolve) => socket.once("close", resolve))),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

const say = (text: string) => (socket: Socket) => {
  socket.write(text);
};

describe("row 5: a proxy that makes no tunnel", () => {
  test.each([
    [407, "platform/proxy-login", "operator", /asks who we are \(HTTP 407\)\..*proxy_credentials/],
    [
      403,
      "platform/proxy-forbids",
      "operator",
      /allows no tunnel to hub\.azure-devices\.net:8883 \(HTTP 403\)/,
    ],
    [405, "platform/proxy-forbids", "operator", /\(HTTP 405\)/],
    [502, "platform/proxy-failed", "retry", /does not reach hub\.azure-devices\.net:8883 \(HTTP 502\)/],
    [503, "platform/proxy-failed", "retry", /\(HTTP 503\)/],
    [302, "platform/not-a-proxy", "retry", /answered with a redirect, as a login page does \(HTTP 302\)/],
  ])("because of HTTP %i says so", async (status, code, remedy, says) => {
    await using speaker = new Speaker(say(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`));
    const proxy = await speaker.listen();
    const error = await failureOf(openTunnel(proxy, target, never));
    expect(error).toMatchObject({ code, remedy });
    expect(error.message).toContain(`the proxy http://127.0.0.1:${proxy.port}`);
    expect(error.message).toMatch(says);
    await speaker.closed();
  });

  test("because it refuses what we said it asks for other words", async () => {
    await using speaker = new Speaker(say("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"));
    const proxy = { ...(await speaker.listen()), authorization: new Secret("Basic hunter2") };
    const error = await failureOf(openTunnel(proxy, target, never));
    expect(error).toMatchObject({ code: "platform/proxy-login" });
    expect(error.message).toMatch(/does not accept our user name or password/);
    expect(error.message).not.toContain("hunter2");
  });

  test.each([
    ["garbage", say("\u0000\u0001\u0002 what?\r\n\r\n"), "platform/not-a-proxy"],
    ["an SSH server's greeting", say("SSH-2.0-OpenSSH_9.6\r\n"), "platform/not-a-proxy"],
    ["words through a tunnel nobody used", say("HTTP/1.1 200 OK\r\n\r\nhello"), "platform/not-a-proxy"],
    ["an end", (socket: Socket) => socket.end(), "platform/proxy-failed"],
    ["a reset", (socket: Socket) => socket.resetAndDestroy(), "platform/proxy-failed"],
    ["half an answer", (socket: Socket) => socket.end("HTTP/1.1 20"), "platform/not-a-proxy"],
  ])("because of %s", async (_, answer, code) => {
    await using speaker = new Speaker(answer);
    const error = await failureOf(openTunnel(await speaker.listen(), target, never));
    expect(error.remedy).toBe("retry");
    expect([code, "platform/proxy-failed"]).toContain(error.code);
    await speaker.closed();
  });

  test("because nobody is there", async () => {
    const speaker = new Speaker(() => {});
    const proxy = await speaker.listen();
    await speaker[Symbol.asyncDispose]();
    const error = await failureOf(openTunnel(proxy, target, never));
    expect(error).toMatchObject({ code: "platform/proxy-unreachable", remedy: "retry" });
    expect(error.message).toMatch(/cannot be reached \(ECONNREFUSED\)\. Check proxy in the configuration/);
  });

  test("because its name is unknown", async () => {
    const error = await failureOf(openTunnel({ host: "no-proxy.invalid", port: 3128 }, target, never));
    expect(error).toMatchObject({ code: "platform/proxy-unreachable" });
    expect(error.message).toContain("the proxy http://no-proxy.invalid:3128");
  });

  describe("because it is silent", () => {
    afterEach(() => {
      vi.useRealTimers();
    });

    test("ends after 20 s, and the connection with it", async () => {
      vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
      await using speaker = new Speaker(() => {});
      const opening = failureOf(openTunnel(await speaker.listen(), target, never));
      await speaker.asked();
      vi.advanceTimersByTime(20_000);
      expect(await opening).toMatchObject({ code: "platform/proxy-unreachable", remedy: "retry" });
      vi.useRealTimers();
      await speaker.closed();
    });
  });

  test("because of an abort leaves no connection", async () => {
    const stop = new AbortController();
    await using speaker = new Speaker(() => {});
    const opening = openTunnel(await speaker.listen(), target, stop.signal);
    await speaker.asked();
    stop.abort(new Error("stop"));
    await expect(opening).rejects.toThrow("stop");
    await speaker.closed();
    expect(speaker.open).toBe(0);
  });
});

test("a tunnel is asked for by the server's name, which this device need not know, and with the credentials", async () => {
  await using speaker = new Speaker(say("HTTP/1.1 200 OK\r\n\r\n"));
  const proxy = { ...(await speaker.listen()), authorization: new Secret("Basic dTpw") };
  const socket = await openTunnel(proxy, { host: "nowhere.invalid", port: 443 }, never);
  expect(speaker.requests[0]).toMatch(/^CONNECT nowhere\.invalid:443 HTTP\/1\.1\r\n/);
  expect(speaker.requests[0]).toMatch(/^Host: nowhere\.invalid:443\r$/im);
  expect(speaker.requests[0]).toMatch(/^Proxy-Authorization: Basic dTpw\r$/im);
  socket.destroy();
});

describe("case 49: the file with the credentials", () => {
  let folder: TemporaryFolder;
  beforeEach(() => {
    folder = new TemporaryFolder();
  });
  afterEach(() => {
    folder[Symbol.dispose]();
  });

  function config(content?: string, mode = 0o600) {
    const path = join(folder.path, "proxy.login");
    if (content !== undefined) {
      writeFileSync(path, content);
      chmodSync(path, mode);
    }
    return { host: "proxy.test", port: 3128, credentials: [{ path, isCredential: false }] };
  }

  test.each([
    ["is missing", undefined, 0o600, /does not exist\. Put user:password there/],
    ["is open to others", "user:secret", 0o644, /others can read it\. Run: chmod 0600/],
    ["is empty", "", 0o600, /holds no user:password/],
    ["holds a password alone", "secret", 0o600, /holds no user:password/],
    ["holds no user", ":secret", 0o600, /holds no user:password/],
    ["has two lines", "user\nsecret\n", 0o600, /more than one line/],
  ])("%s: a person is told, and no secret", async (_, content, mode, says) => {
    const error = await failureOf(readProxy(config(content, mode)));
    expect(error).toMatchObject({ code: "platform/proxy-credentials", remedy: "operator" });
    expect(error.message).toMatch(says);
    expect(error.message).not.toContain("secret");
  });

  test.each(["user:secret", "user:p:a:ss", "gate way:p@ss:wörd%/ ", "user:"])("holds %j", async (line) => {
    const { authorization } = await readProxy(config(`${line}\n`));
    const [, encoded = ""] = /^Basic (.*)$/.exec(authorization?.reveal() ?? "") ?? [];
    expect(Buffer.from(encoded, "base64").toString("utf8")).toBe(line);
    expect(JSON.stringify({ authorization })).not.toContain(encoded);
  });
});
