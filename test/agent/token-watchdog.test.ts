import { execFileSync } from "node:child_process";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { startCloud } from "../cloud/cloud.ts";
import { SoftHsm } from "../identity/soft-hsm.ts";
import { DatagramSocket, noDatagramSocket } from "../platform/datagram-socket.ts";
import { AgentProcess } from "./agent-process.ts";
import { Gateway } from "./gateway.ts";

const root = resolve(import.meta.dirname, "../..");

function compileSlowModule(folder: string): string {
  const module = join(folder, "slow-module.so");
  const headers = join(root, "node_modules/pkcs11js/includes/pkcs11");
  const source = join(root, "test/identity/slow-module.c");
  execFileSync("/usr/bin/cc", ["-shared", "-fPIC", `-I${headers}`, source, "-o", module]);
  return module;
}

test("a module that hangs starves the watchdog, so that systemd starts the agent anew", async ({ skip }) => {
  skip(noDatagramSocket !== undefined, noDatagramSocket);
  using hsm = new SoftHsm();
  await using cloud = await startCloud();
  await using gateway = new Gateway(cloud, {
    uris: { key: hsm.uri("object=device", compileSlowModule(hsm.folder)) },
  });
  await using systemd = await DatagramSocket.open();
  const environment = { NOTIFY_SOCKET: systemd.path, WATCHDOG_USEC: "200000" };
  await using agent = new AgentProcess(gateway, environment);
  await agent.logged("agent.started");
  const startedAt = performance.now();
  await systemd.says(/^WATCHDOG=1$/);
  // The module answers after 2 s, ten times as long as systemd would have waited.
  expect(performance.now() - startedAt).toBeGreaterThan(1500);
  const failure = await agent.logged("identity.failed");
  expect(failure.error).toMatchObject({ code: "identity/token-failed" });
  expect(failure.error?.message).toContain("CKR_DEVICE_ERROR");
});
