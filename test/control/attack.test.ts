import { chmodSync, chownSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { serverLimits } from "../../src/control/server-limits.ts";
import { runCommand } from "../../src/platform/run-command.ts";
import { ControlServer, untilClosed } from "./control-server.ts";

/* What a program on the device may do to the socket that means harm, or is broken. */

let server: ControlServer;

beforeEach(async () => {
  server = await ControlServer.open();
});

afterEach(async () => {
  await server[Symbol.asyncDispose]();
});

/** The agent answers somebody else, soon. */
async function stillAnswers(): Promise<void> {
  const startedAt = performance.now();
  expect((await server.ask("GET /v1/status")).status).toBe(200);
  expect(performance.now() - startedAt).toBeLessThan(2_000);
}

test.each([
  ["random bytes", () => randomBytes(5_000)],
  ["TLS", () => Buffer.from("160301020001000100", "hex")],
  ["a header without end", () => `GET /v1/status HTTP/1.1\r\nX: ${"x".repeat(20_000)}`],
  ["a thousand headers", () => `GET / HTTP/1.1\r\n${"X: y\r\n".repeat(3_000)}\r\n`],
  ["two lengths", () => "POST /v1/apply HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 4\r\n\r\n{}{}"],
  [
    "length and chunks",
    () => "POST /v1/apply HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  ],
  ["a tunnel", () => "CONNECT /etc/passwd:1 HTTP/1.1\r\n\r\n"],
  ["a method that there is none", () => "__proto__ / HTTP/1.1\r\n\r\n"],
])("%s, fifty times, ends the connection and is told once at most", async (_, bytes) => {
  for (let round = 0; round < 50; round += 1) {
    const socket = await server.raw();
    const closed = untilClosed(socket);
    socket.end(bytes());
    expect(await closed).not.toMatch(/^HTTP\/1\.1 2/);
  }
  expect(server.warnings().length).toBeLessThanOrEqual(1);
  expect(server.told).toEqual([]);
  await stillAnswers();
});

test("requests that never end are cut after 10 s, and told once; others are served meanwhile", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    const slow = await Promise.all(Array.from({ length: 40 }, async () => server.raw()));
    const closed = slow.map(untilClosed);
    for (const socket of slow) socket.write("GET /v1/status HTTP/1.1\r\nHost: ag");
    await stillAnswers();
    vi.advanceTimersByTime(serverLimits.requestMs - 1);
    for (const socket of slow) socket.write("e");
    await stillAnswers();
    expect(slow.filter((socket) => socket.closed)).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(await Promise.all(closed)).toEqual(slow.map(() => ""));
  } finally {
    vi.useRealTimers();
  }
  expect(server.warnings()).toHaveLength(1);
  expect(server.warnings()[0]).toContain("its request took too long");
});

describe("a body of a gigabyte", () => {
  test("that is announced is refused before it is read", async () => {
    const socket = await server.raw();
    const closed = untilClosed(socket);
    socket.write("POST /v1/telemetry HTTP/1.1\r\nHost: agent\r\nContent-Length: 1073741824\r\n\r\n");
    expect(await closed).toMatch(/^HTTP\/1\.1 413 /);
  });

  test("that comes in chunks is cut, and costs no memory", async () => {
    const socket = await server.raw();
    const closed = untilClosed(socket);
    const before = process.memoryUsage().rss;
    socket.write("POST /v1/telemetry HTTP/1.1\r\nHost: agent\r\nTransfer-Encoding: chunked\r\n\r\n");
    const chunk = `10000\r\n${"x".repeat(65_536)}\r\n`;
    let written = 0;
    while (!socket.destroyed && socket.writable && written < 2 ** 30) {
      written += 65_536;
      if (socket.write(chunk)) continue;
      await new Promise<void>((resolve) => {
        socket.once("drain", resolve).once("close", () => resolve());
      });
    }
    expect(await closed).toMatch(/^HTTP\/1\.1 413 |^$/);
    expect(written).toBeLessThan(32 * 2 ** 20);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 2 ** 20);
    await stillAnswers();
  });
});

test("a thousand connections are too many: some are served, the rest is closed at once, and it is told once", async () => {
  const tried = await Promise.allSettled(Array.from({ length: 1_000 }, async () => server.raw()));
  // Some find the kernel's own queue full.
  const sockets = tried.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  expect(sockets.length).toBeGreaterThan(serverLimits.connections);
  await expect
    .poll(() => sockets.filter((socket) => !socket.destroyed).length)
    .toBe(serverLimits.connections);
  expect(server.warnings()).toHaveLength(1);
  expect(server.warnings()[0]).toContain("there are too many");
  for (const socket of sockets) socket.destroy();
  await expect
    .poll(async () =>
      server.ask("GET /v1/status").then(
        ({ status }) => status,
        () => 0,
      ),
    )
    .toBe(200);
});

test("a connection that floods is closed after what it may send; others are served meanwhile", async () => {
  const socket = await server.raw();
  const closed = untilClosed(socket);
  for (let round = 0; round < 20; round += 1)
    socket.write("POST /v1/apply HTTP/1.1\r\nHost: agent\r\n\r\n".repeat(50));
  await stillAnswers();
  await closed;
  expect(server.told.length).toBeLessThanOrEqual(serverLimits.burst + serverLimits.perSecond);
  expect(server.warnings().filter((line) => line.includes("sent too many"))).toHaveLength(1);
});

test("a ninth reader of events is refused, and one that does not read is closed while the log goes on", async () => {
  const readers = await Promise.all(Array.from({ length: serverLimits.streams }, async () => server.raw()));
  for (const reader of readers) {
    reader.write("GET /v1/events HTTP/1.1\r\nHost: agent\r\n\r\n");
    await once(reader, "readable");
  }
  expect((await server.ask("GET /v1/events")).status).toBe(429);
  // Nobody reads on: what the kernel does not take stays with the agent, up to its limit.
  const closed = readers.map(async (reader) => once(reader.resume().pause(), "close"));
  for (let line = 0; line < 2_000; line += 1) {
    server.agent.log.info("twin.unchanged", { property: "x".repeat(1_000) });
    if (line % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  for (const reader of readers) reader.resume();
  await Promise.all(closed);
  await expect.poll(async () => (await server.ask("GET /v1/status")).status).toBe(200);
});

describe.skipIf(process.getuid?.() !== 0)(
  "another user (skipped without root: nobody else can be played)",
  () => {
    const main = join(import.meta.dirname, "../../src/main.ts");
    const nobody = 65_534;

    /** `latebind status` as this user and group. */
    async function statusAs(
      uid: number,
      gid: number,
    ): Promise<{ readonly exitCode: number; readonly says: string }> {
      const { exitCode, stdout, stderr } = await runCommand(
        {
          file: "/usr/bin/setpriv",
          args: [`--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", process.execPath, main, "status"],
          env: { RUNTIME_DIRECTORY: server.folder.path },
          timeoutMs: 15_000,
        },
        new AbortController().signal,
      );
      return { exitCode, says: `${stdout}${stderr}` };
    }

    test("outside the group is refused by the kernel, and told how to join; the agent hears nothing of it", async () => {
      chmodSync(server.folder.path, 0o755);
      const { exitCode, says } = await statusAs(nobody, nobody);
      expect(exitCode).toBe(1);
      expect(says).toMatch(/may not talk to the agent: only root and the group latebind may/);
      expect(says).toMatch(/sudo usermod -aG latebind \S+ \[control\/no-permission\]/);
      expect(server.warnings()).toEqual([]);
    });

    test("inside the group is served", async () => {
      chmodSync(server.folder.path, 0o755);
      chownSync(server.path, 0, 4_242);
      server.connect();
      const { exitCode, says } = await statusAs(nobody, 4_242);
      expect(says).toMatch(/^connected to h as d/);
      expect(exitCode).toBe(0);
    });
  },
);
