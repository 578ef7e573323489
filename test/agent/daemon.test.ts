import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as nextTurn } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { AgentProcess } from "./agent-process.ts";
import { Gateway } from "./gateway.ts";
import { DatagramSocket } from "../platform/datagram-socket.ts";

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ assigningAnswers: 0 });
});

afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

function enrolled(): Gateway {
  const gateway = new Gateway(cloud);
  cloud.levers.enrollments.put({
    registrationId: gateway.registrationId,
    primaryKey: gateway.key,
    hub: "test",
    initialTwin: { desired: { site: { name: "Hall 7" } } },
  });
  return gateway;
}

function configFile(gateway: Gateway): string {
  return join(gateway.folder, "etc", "config.toml");
}

test("a configuration fault ends the process with 78 and names every problem with its line", async () => {
  await using gateway = enrolled();
  writeFileSync(configFile(gateway), 'id_scop = "0ne00000001"\nkey = "usb:"\n');
  await using agent = new AgentProcess(gateway);
  expect(await agent.exited).toEqual({ code: 78, signal: null });
  const says = agent.lines
    .filter(({ event }) => event === "config.invalid")
    .map((line) => String(line["says"]));
  expect(says).toHaveLength(2);
  expect(says[0]).toMatch(/config\.toml:1: id_scop: .*did you mean id_scope\?/);
  expect(says[1]).toMatch(/config\.toml:2: key: /);
});

test("SIGTERM drains: the hub hears goodbye and the process ends with 0 within 5 s", async () => {
  await using gateway = enrolled();
  await using agent = new AgentProcess(gateway);
  await agent.logged("report.accepted");
  const before = performance.now();
  agent.kill("SIGTERM");
  expect(await agent.exited).toEqual({ code: 0, signal: null });
  expect(performance.now() - before).toBeLessThan(5_000);
  const goodbye = await cloud.waitFor(
    (event) =>
      event.kind === "disconnect" && event.clientId === gateway.registrationId && event.endpoint === "test",
  );
  expect(goodbye).toMatchObject({ because: "client disconnected" });
});

test("SIGTERM in the middle of a command that does not listen ends the process within 5 s all the same", async () => {
  const folder = mkdtempSync(join(tmpdir(), "latebind-test-"));
  const marker = join(folder, "running");
  const script = `trap : TERM; echo $$ > ${marker}; while :; do sleep 1; done`;
  await using gateway = new Gateway(cloud, { more: `command = ["/bin/sh", "-c", "${script}"]` });
  cloud.levers.enrollments.put({
    registrationId: gateway.registrationId,
    primaryKey: gateway.key,
    initialTwin: { desired: { site: { name: "Hall 7" } } },
  });
  await using agent = new AgentProcess(gateway);
  await agent.logged("twin.fetched");
  while (!existsSync(marker)) await nextTurn(20);
  const before = performance.now();
  agent.kill("SIGTERM");
  expect((await agent.exited).code).toBe(0);
  expect(performance.now() - before).toBeLessThan(5_000);
  expect(agent.lines.at(-1)).toMatchObject({ event: "agent.drain-cut" });
  // Under systemd the control group ends the stray; here nobody else does.
  process.kill(-Number(readFileSync(marker, "utf8")), "SIGKILL");
  rmSync(folder, { recursive: true });
});

test("SIGHUP with a good configuration takes effect without a restart, and DPS is asked only if it has to be", async () => {
  await using gateway = enrolled();
  await using agent = new AgentProcess(gateway);
  await agent.logged("report.accepted");
  writeFileSync(
    configFile(gateway),
    readFileSync(configFile(gateway), "utf8").replace('level = "debug"', 'level = "notice"'),
  );
  agent.kill("SIGHUP");
  expect(await agent.logged("config.reloaded")).toMatchObject({ changed: true });
  await agent.logged("hub.connected", 2);
  expect(agent.lines.filter(({ event }) => event === "provisioning.started")).toHaveLength(1);
});

test("SIGHUP with a bad configuration keeps the old one in force and says what is wrong", async () => {
  await using gateway = enrolled();
  await using agent = new AgentProcess(gateway);
  await agent.logged("report.accepted");
  appendFileSync(configFile(gateway), "\n[hub]\n");
  agent.kill("SIGHUP");
  await agent.logged("config.kept");
  expect(agent.lines.some(({ event }) => event === "config.invalid")).toBe(true);
  cloud.levers.patchTwin("test", gateway.registrationId, { desired: { site: { name: "Hall 8" } } });
  await agent.logged("twin.applied", 2);
  expect(gateway.site()).toEqual({ name: "Hall 8" });
});

test("the service manager hears READY, STATUS in words, the watchdog, RELOADING and STOPPING", async () => {
  await using gateway = enrolled();
  await using socket = await DatagramSocket.open();
  await using agent = new AgentProcess(gateway, { NOTIFY_SOCKET: socket.path, WATCHDOG_USEC: "400000" });
  await socket.says(/^READY=1$/);
  await socket.says(/^STATUS=connected to .* as gw-.*; desired version 2 applied$/);
  await socket.says(/^WATCHDOG=1$/);
  agent.kill("SIGHUP");
  await socket.says(/^RELOADING=1$/);
  await socket.says(/^MONOTONIC_USEC=\d+$/);
  agent.kill("SIGTERM");
  await socket.says(/^STOPPING=1$/);
  expect((await agent.exited).code).toBe(0);
});

test("an agent without a network is ready all the same, and its status says what is missing", async () => {
  await using gateway = enrolled();
  writeFileSync(
    configFile(gateway),
    readFileSync(configFile(gateway), "utf8")
      .replace(cloud.dps.host, "127.0.0.1")
      .replace("[hub]", "port = 9\n[hub]"),
  );
  await using socket = await DatagramSocket.open();
  await using agent = new AgentProcess(gateway, { NOTIFY_SOCKET: socket.path });
  await socket.says(/^READY=1$/);
  await socket.says(
    /^STATUS=not connected: cannot connect to 127\.0\.0\.1:9: the port is closed.*next: ask DPS at/,
  );
  agent.kill("SIGTERM");
  expect((await agent.exited).code).toBe(0);
});

test("without its key the agent is not ready but alive, says what is missing, and heals when the key arrives", async () => {
  await using gateway = enrolled();
  const keyFile = join(gateway.folder, "etc", "device.key");
  rmSync(keyFile);
  await using socket = await DatagramSocket.open();
  await using agent = new AgentProcess(gateway, { NOTIFY_SOCKET: socket.path });
  await socket.says(
    /^STATUS=not connected: no device key: .*device\.key does not exist.*\[identity\/key-file-missing\]/,
  );
  await socket.says(/^EXTEND_TIMEOUT_USEC=\d+$/);
  expect(await socket.messages(1)).not.toContain("READY=1");

  gateway.writeKey(gateway.key);
  agent.kill("SIGHUP");
  await agent.logged("report.accepted");
  await socket.says(/^STATUS=connected to /);
  await socket.says(/^READY=1$/);
});

test("a key file that others may read is refused with the command that mends it", async () => {
  await using gateway = enrolled();
  chmodSync(join(gateway.folder, "etc", "device.key"), 0o644);
  await using agent = new AgentProcess(gateway);
  const failed = await agent.logged("identity.failed");
  expect(failed.error).toMatchObject({ code: "identity/key-file-too-open" });
  expect(failed.error?.message).toMatch(/has mode 0644: others can read the device key\. Run: chmod 0600 /);
});

test("every line of the log is one event with its priority in front, and holds no secret", async () => {
  await using gateway = enrolled();
  await using agent = new AgentProcess(gateway);
  await agent.logged("report.accepted");
  agent.kill("SIGTERM");
  await agent.exited;
  const lines = agent.output.trimEnd().split("\n");
  expect(lines.length).toBeGreaterThan(5);
  for (const line of lines)
    expect(line).toMatch(/^<[3-7]>\{"level":"(error|warning|notice|info|debug)","event":"[a-z]+\.[a-z-]+"/);
  expect(agent.output).not.toContain(gateway.key);
  expect(agent.output).not.toMatch(/SharedAccessSignature|sig=/);
});

test("a kill at 20 moments between start and applied twin: the next start always ends connected and applied", async () => {
  const ended: number[] = [];
  for (let round = 0; round < 20; round += 1) {
    await using gateway = enrolled();
    const killed = new AgentProcess(gateway);
    // Spread over the whole start, with a random part: 0 ms to about 700 ms.
    const moment = round * 33 + Math.random() * 33;
    await new Promise((done) => {
      setTimeout(done, moment);
    });
    killed.kill("SIGKILL");
    await killed.exited;
    await using agent = new AgentProcess(gateway);
    await agent.logged("hub.connected");
    while (JSON.stringify(site(gateway)) !== '{"name":"Hall 7"}') await agent.logged("twin.applied");
    ended.push(moment);
  }
  expect(ended).toHaveLength(20);
}, 120_000);

function site(gateway: Gateway): unknown {
  try {
    return gateway.site();
  } catch {
    return undefined;
  }
}
