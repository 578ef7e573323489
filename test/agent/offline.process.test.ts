import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseDeviceState } from "../../src/agent/device.ts";
import { openStore } from "../../src/platform/store.ts";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { DatagramSocket } from "../platform/datagram-socket.ts";
import { RecordingLog } from "../platform/recording-log.ts";
import { AgentProcess } from "./agent-process.ts";
import { FakeTime, offsetTo1970, whyNoFakeTime } from "./fake-time.ts";
import { Gateway } from "./gateway.ts";

/* A process in a network of its own: no interface is up, not even the loopback, so there is no route and no DNS. */

const unshare = { inside: ["/usr/bin/unshare", "--net"] };
const whyNoNamespace =
  spawnSync("/usr/bin/unshare", ["--net", "true"]).status === 0
    ? undefined
    : "only root may make a network of its own";
if (whyNoNamespace !== undefined) console.log(`skipped: agents without a network: ${whyNoNamespace}`);

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ assigningAnswers: 0, pollAfterSeconds: 0 });
});

afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

async function served(): Promise<Gateway> {
  const gateway = new Gateway(cloud);
  cloud.levers.enrollments.put({
    registrationId: gateway.registrationId,
    primaryKey: gateway.key,
    initialTwin: { desired: { site: { name: "Hall 7" } } },
  });
  await gateway.start();
  await gateway.connected();
  await gateway.stop();
  // A power cut in the middle of the work: what is wanted is known, and not yet done.
  const store = openStore(gateway.stateDirectory, "device", parseDeviceState, new RecordingLog().log);
  const state = store.read();
  if (state === undefined) throw new Error("the device kept nothing");
  await store.write({ ...state, remembered: [] });
  rmSync(gateway.siteFile);
  return gateway;
}

function rename(gateway: Gateway, from: string, to: string): void {
  const file = join(gateway.folder, "etc", "config.toml");
  writeFileSync(file, readFileSync(file, "utf8").replace(from, to));
}

test.skipIf(whyNoNamespace !== undefined)(
  "no network: the agent is ready, the last desired document is in force, and status says that there is no network",
  async () => {
    await using gateway = await served();
    await using manager = await DatagramSocket.open();
    await using agent = new AgentProcess(gateway, { NOTIFY_SOCKET: manager.path }, unshare);
    await manager.says(/^READY=1$/);
    await manager.says(
      /^STATUS=not connected: cannot connect to 127\.[\d.]+:8883: there is no network \[mqtt\/unreachable\]; next: connect to 127\.[\d.]+ at \d\d:\d\d:\d\dZ$/,
    );
    expect(gateway.site()).toEqual({ name: "Hall 7" });
    expect(agent.lines.filter(({ event }) => event === "provisioning.started")).toEqual([]);
  },
);

test.skipIf(whyNoNamespace !== undefined)(
  "no DNS: a device without an assignment is ready, and status says whose name nobody knows",
  async () => {
    await using gateway = new Gateway(cloud);
    rename(gateway, `endpoint = "${cloud.dps.host}"`, 'endpoint = "dps.latebind.test"');
    await using manager = await DatagramSocket.open();
    await using agent = new AgentProcess(gateway, { NOTIFY_SOCKET: manager.path }, unshare);
    await manager.says(/^READY=1$/);
    await manager.says(
      /^STATUS=not connected: cannot connect to dps\.latebind\.test:8883: DNS does not answer \[mqtt\/name-not-found\]; next: ask DPS at/,
    );
    expect(agent.lines.filter(({ event }) => event === "agent.bug")).toEqual([]);
  },
);

test.skipIf(whyNoNamespace !== undefined || whyNoFakeTime !== undefined)(
  "no network and no time: ready, and the last desired document is in force",
  async () => {
    await using gateway = await served();
    const time = new FakeTime(gateway, offsetTo1970());
    await using manager = await DatagramSocket.open();
    const environment = { NOTIFY_SOCKET: manager.path, ...time.environment };
    await using agent = new AgentProcess(gateway, environment, unshare);
    await manager.says(/^READY=1$/);
    await manager.says(/^STATUS=not connected: cannot connect to .*: there is no network/);
    expect(gateway.site()).toEqual({ name: "Hall 7" });
    expect(agent.lines.filter(({ event }) => event === "twin.applied")).toHaveLength(1);
  },
);

test("no key: not ready, but the last desired document is in force all the same", async () => {
  await using gateway = await served();
  rmSync(join(gateway.folder, "etc", "device.key"));
  await using agent = new AgentProcess(gateway);
  expect((await agent.logged("identity.failed")).error?.code).toBe("identity/key-file-missing");
  expect(gateway.site()).toEqual({ name: "Hall 7" });
});
