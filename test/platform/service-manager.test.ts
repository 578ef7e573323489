import { existsSync, rmSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { createServiceManager } from "../../src/platform/service-manager.ts";
import { activeResources } from "./active-resources.ts";
import { DatagramSocket, noDatagramSocket } from "./datagram-socket.ts";
import { RecordingLog } from "./recording-log.ts";

const noProgram = existsSync("/usr/bin/systemd-notify") ? undefined : "/usr/bin/systemd-notify is missing";
const skipped = noDatagramSocket ?? noProgram;
beforeAll(() => {
  if (skipped !== undefined) process.stderr.write(`service-manager.test.ts is skipped in part: ${skipped}\n`);
});

describe.skipIf(skipped !== undefined)("with a service manager", () => {
  test("everything that is said arrives, in the order it was said", async () => {
    await using socket = await DatagramSocket.open();
    const recording = new RecordingLog();
    const manager = createServiceManager({ NOTIFY_SOCKET: socket.path }, recording.log);
    manager.status("starting");
    manager.extendStart(90_000);
    manager.ready();
    manager.watchdog();
    manager.status("connected to hub-1");
    const before = process.hrtime.bigint() / 1000n;
    manager.reloading();
    const after = process.hrtime.bigint() / 1000n;
    manager.ready();
    manager.stopping();
    await manager.settled();
    const received = await socket.messages(8);
    expect(received.map((message) => message.replace(/MONOTONIC_USEC=\d+/, "MONOTONIC_USEC=…"))).toEqual([
      "STATUS=starting",
      "EXTEND_TIMEOUT_USEC=90000000",
      "READY=1",
      "WATCHDOG=1",
      "STATUS=connected to hub-1",
      "RELOADING=1|MONOTONIC_USEC=…",
      "READY=1",
      "STOPPING=1",
    ]);
    const usec = BigInt(/MONOTONIC_USEC=(\d+)/.exec(received.join(" "))?.[1] ?? 0);
    expect(usec).toBeGreaterThanOrEqual(before);
    expect(usec).toBeLessThanOrEqual(after);
    expect(recording.lines).toEqual([]);
  });

  test("a status is told once per change, on one line, and cannot smuggle in another message", async () => {
    await using socket = await DatagramSocket.open();
    const manager = createServiceManager({ NOTIFY_SOCKET: socket.path }, new RecordingLog().log);
    for (const sentence of ["one", "one", "two\nSTOPPING=1\r\n", "two\nSTOPPING=1\r\n", "one"]) {
      manager.status(sentence);
    }
    await manager.settled();
    expect(await socket.messages(3)).toEqual(["STATUS=one", "STATUS=two STOPPING=1 ", "STATUS=one"]);
  });

  test("a status that looks like an option is a status", async () => {
    await using socket = await DatagramSocket.open();
    const recording = new RecordingLog();
    const manager = createServiceManager({ NOTIFY_SOCKET: socket.path }, recording.log);
    manager.status("--booted");
    await manager.settled();
    expect(await socket.messages(1)).toEqual(["STATUS=--booted"]);
    expect(recording.lines).toEqual([]);
  });

  test("a socket that is gone costs one warning, however often it is spoken to, and nothing else", async () => {
    await using socket = await DatagramSocket.open();
    const recording = new RecordingLog();
    const manager = createServiceManager({ NOTIFY_SOCKET: socket.path }, recording.log);
    rmSync(socket.path);
    manager.ready();
    manager.stopping();
    await manager.settled();
    expect(recording.events).toMatchObject([
      { level: "warning", event: "platform.notify-failed", variables: ["READY=1"] },
    ]);
  });
});

test("without a service manager no program is started", async () => {
  const before = activeResources("ProcessWrap");
  const recording = new RecordingLog();
  const manager = createServiceManager({ WATCHDOG_USEC: "30000000" }, recording.log);
  manager.ready();
  manager.status("connected");
  manager.watchdog();
  manager.reloading();
  manager.extendStart(1);
  manager.stopping();
  expect(activeResources("ProcessWrap")).toBe(before);
  await manager.settled();
  expect(manager.watchdogMs).toBeUndefined();
  expect(recording.lines).toEqual([]);
});

test.each([
  ["30000000", 30_000],
  ["0", undefined],
  ["", undefined],
  ["soon", undefined],
  [undefined, undefined],
])("WATCHDOG_USEC=%s means an interval of %s ms", (usec, ms) => {
  const environment = { NOTIFY_SOCKET: "/run/systemd/notify", WATCHDOG_USEC: usec };
  expect(createServiceManager(environment, new RecordingLog().log).watchdogMs).toBe(ms);
});
