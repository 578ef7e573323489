// A wish that cuts the network, in a network namespace of its own: its loopback is the only way to DPS and hub. Complains by its exit code.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { startCloud } from "../cloud/cloud.ts";
import { AgentProcess } from "./agent-process.ts";
import { Gateway } from "./gateway.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";

execFileSync("ip", ["link", "set", "lo", "up"], { stdio: "inherit" });

using folder = new TemporaryFolder();
const file = folder.join("net.env");
const script = folder.join("set-network");
writeFileSync(script, `#!/bin/sh\n. ${file}\nexec ip link set lo "$STATE"\n`, { mode: 0o755 });

await using cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
const rule = `[[apply]]\nproperty = "net"\nfile = "${file}"\nformat = "env"\nconfirm = "10s"\ncommand = ["/bin/sh", "${script}"]\n`;
await using gateway = new Gateway(cloud, { more: rule });
const { registrationId, key: primaryKey } = gateway;
cloud.levers.enrollments.put({ registrationId, hub: "test", primaryKey });

const isUp = (): boolean =>
  /[<,]UP[,>]/.test(execFileSync("ip", ["link", "show", "lo"], { encoding: "utf8" }));

/** Waits until the hub has this answer to `net`. */
async function answered(ac: number): Promise<Readonly<Record<string, unknown>>> {
  for (let times = 0; times < 600; times += 1) {
    const net: unknown = cloud.levers.twin("test", registrationId).reported.properties["net"];
    if (typeof net === "object" && net !== null && "ac" in net && net.ac === ac) return { ...net };
    await sleep(100);
  }
  return assert.fail(`net was never answered with ${ac}`);
}

await using agent = new AgentProcess(gateway);
await agent.logged("report.accepted");
cloud.levers.patchTwin("test", registrationId, { desired: { net: { STATE: "up" } } });
await answered(202);
await agent.logged("twin.confirmed");
assert.deepEqual((await answered(200))["value"], { STATE: "up" });
process.stdout.write("a change that leaves the line alone is confirmed\n");

const cutAt = performance.now();
cloud.levers.patchTwin("test", registrationId, { desired: { net: { STATE: "down" } } });
await agent.logged("twin.applied", 2);
assert.equal(isUp(), false);
await agent.logged("twin.rolled-back");
const undoneMs = performance.now() - cutAt;
assert.equal(isUp(), true);
assert.ok(undoneMs > 9_000 && undoneMs < 20_000, `undone after ${undoneMs} ms`);
const answer = await answered(500);
assert.deepEqual(answer["value"], { STATE: "up" });
assert.match(String(answer["ad"]), /^appliers\/not-confirmed: the hub was not reached within 10 s/);
process.stdout.write(`a wish that cut the network was undone after ${Math.round(undoneMs)} ms\n`);
process.stdout.write(`the hub knew after ${Math.round(performance.now() - cutAt)} ms\n`);

// It is not tried again: not by a new session, and not by a restart.
cloud.levers.dropConnection("test", registrationId);
const sessions = agent.lines.filter(({ event }) => event === "hub.connected").length;
await agent.logged("hub.connected", sessions + 1);
agent.kill("SIGTERM");
await agent.exited;
await using next = new AgentProcess(gateway);
await next.logged("hub.connected");
await next.logged("twin.fetched");
await sleep(1_000);
assert.equal(isUp(), true);
assert.equal(next.lines.filter(({ event }) => event === "twin.applied").length, 0);
process.stdout.write("it is not tried again\n");

// The power goes while the network is cut: the next start undoes it without anybody.
cloud.levers.patchTwin("test", registrationId, { desired: { net: { STATE: "down", AGAIN: "1" } } });
await next.logged("twin.applied");
assert.equal(isUp(), false);
next.kill("SIGKILL");
await next.exited;
await using last = new AgentProcess(gateway);
await last.logged("twin.rolled-back");
await last.logged("hub.connected");
assert.equal(isUp(), true);
process.stdout.write("a power cut in the middle changes nothing of that\n");
