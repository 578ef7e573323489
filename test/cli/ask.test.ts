import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { describe, expect, test } from "vitest";
import { ControlServer } from "../control/control-server.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";
import { terminal } from "./terminal.ts";

const env = (folder: TemporaryFolder) => ({ RUNTIME_DIRECTORY: folder.path });
const parse = (text: string): unknown => JSON.parse(text);

describe.each(["status", "apply", "reprovision", "restart"])("latebind %s", (command) => {
  test("without a running agent says so, and how to start it", async () => {
    using folder = new TemporaryFolder();
    const { code, stdout, stderr } = await terminal([command], { env: env(folder) });
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(
      /^the agent is not running, .*systemctl start latebind \[control\/not-running\]\n$/,
    );
  });

  test("with what an agent that was killed left behind says the same", async () => {
    using folder = new TemporaryFolder();
    writeFileSync(folder.join("control.sock"), "");
    expect((await terminal([command], { env: env(folder) })).stderr).toMatch(/control\/not-running/);
  });
});

test("latebind status --json without a running agent is JSON too", async () => {
  using folder = new TemporaryFolder();
  const { code, stdout } = await terminal(["status", "--json"], { env: env(folder) });
  expect(code).toBe(1);
  expect(parse(stdout)).toMatchObject({ isConnected: false, error: { code: "control/not-running" } });
});

test("something else on the socket is told as an agent that does not answer", async () => {
  using folder = new TemporaryFolder();
  const other = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => {
    other.listen(folder.join("control.sock"), () => resolve());
  });
  const { code, stderr } = await terminal(["status"], { env: env(folder) });
  other.close();
  expect(code).toBe(1);
  expect(stderr).toMatch(/does not answer .*journalctl -u latebind.* \[control\/no-answer\]/);
});

test("latebind status of a device that is not connected ends with 1 and says why", async () => {
  await using server = await ControlServer.open();
  server.agent.desk.noteHealth({
    at: "waiting",
    forMs: 1_000,
    untilMs: Date.UTC(2026, 0, 2, 3, 4, 5),
    next: "ask DPS",
    error: { code: "mqtt/unreachable", message: "no line" },
  });
  const { code, stdout } = await terminal(["status"], { env: env(server.folder) });
  expect(code).toBe(1);
  expect(stdout.split("\n")[0]).toBe("not connected: no line [mqtt/unreachable]; next: ask DPS at 03:04:05Z");
  expect(stdout).toMatch(/ {2}Next try +2026-01-02T03:04:05.000Z\n/);
});

test("latebind status does not hand the terminal what steers it", async () => {
  await using server = await ControlServer.open();
  const message = "no line\u001b]0;owned\u0007\u009b2J\nconnected";
  server.agent.desk.noteHealth({
    at: "waiting",
    forMs: 1_000,
    untilMs: Date.UTC(2026, 0, 2, 3, 4, 5),
    next: "ask DPS",
    error: { code: "mqtt/unreachable", message },
  });
  for (const args of [["status"], ["status", "--json"]]) {
    const { stdout } = await terminal(args, { env: env(server.folder) });
    expect(stdout).not.toMatch(/[^\P{Cc}\n]/u);
    expect(stdout).not.toMatch(/^connected$/m);
  }
});

test("latebind status of a connected device ends with 0 and shows the facts", async () => {
  await using server = await ControlServer.open();
  server.connect();
  const { code, stdout } = await terminal(["status"], { env: env(server.folder) });
  expect(code).toBe(0);
  expect(stdout).toMatch(/^connected to h as d; desired version 4 applied\n {2}Version +1\.2\.3\n/);
  expect(stdout).toMatch(/ {2}Telemetry +0 sent, 0 waiting, 0 dropped\n$/);
  const json = await terminal(["status", "--json"], { env: env(server.folder) });
  expect(parse(json.stdout)).toMatchObject({ isConnected: true, deviceId: "d" });
});

test("orders reach the agent, which says what it will do", async () => {
  await using server = await ControlServer.open();
  expect(await terminal(["apply"], { env: env(server.folder) })).toMatchObject({
    code: 0,
    stdout: "the desired properties are checked and applied again\n",
  });
  await terminal(["reprovision"], { env: env(server.folder) });
  await terminal(["restart"], { env: env(server.folder) });
  await expect.poll(() => server.restarts).toHaveLength(1);
  expect(server.told.map(({ kind }) => kind)).toEqual(["apply-now", "reprovision"]);
});
