// The life of a connected agent in a network that changes. Runs in a network namespace of its own, and complains by its exit code.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { startCloud } from "../cloud/cloud.ts";
import { AgentProcess } from "./agent-process.ts";
import { Gateway } from "./gateway.ts";

function ip(...words: readonly string[]): void {
  execFileSync("ip", words, { stdio: "inherit" });
}

/** The agent's child that listens to the kernel. */
async function listener(pid: number): Promise<void> {
  for (let times = 0; times < 100; times += 1) {
    if (readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim() !== "") return;
    await sleep(100);
  }
  assert.fail("the agent has started no listener");
}

ip("link", "set", "lo", "up");
ip("link", "add", "br0", "type", "bridge");
ip("address", "add", "10.9.9.1/24", "dev", "br0");
ip("link", "set", "br0", "up");
ip("route", "add", "default", "via", "10.9.9.2", "dev", "br0");

await using cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
await using gateway = new Gateway(cloud);
const { registrationId, key: primaryKey } = gateway;
cloud.levers.enrollments.put({ registrationId, hub: "test", primaryKey });
await using agent = new AgentProcess(gateway);
await agent.logged("hub.connected");
await listener(agent.pid);

// Another way out, over which the line still answers.
ip("route", "replace", "default", "via", "10.9.9.3", "dev", "br0");
const changed = await agent.logged("network.changed");
assert.equal(changed["because"], "br0 via 10.9.9.3 in place of br0 via 10.9.9.2");
await sleep(7_000);
assert.equal(agent.lines.filter(({ event }) => event === "hub.failed").length, 0);
process.stdout.write("a line that lives stays\n");

// Another address, and the line is dead: with a keep-alive of 3 minutes.
cloud.faults.add({ endpoint: "test", when: { at: "packet", packet: "pingreq" }, do: { act: "silence" } });
const changedAt = performance.now();
ip("address", "add", "10.9.9.7/24", "dev", "br0");
await agent.logged("network.changed", 2);
const failed = await agent.logged("hub.failed");
assert.equal(failed.error?.code, "mqtt/line-dead");
await agent.logged("hub.connected", 2);
const tookMs = performance.now() - changedAt;
process.stdout.write(`a dead line was left and replaced within ${Math.round(tookMs)} ms\n`);
assert.ok(tookMs < 20_000, "1 s to settle, 5 s to probe, 5 s of spreading or 2 s of back-off");

// Nothing is connected, and the next attempt is half a minute or more away.
cloud.faults.add({ when: { at: "connection" }, do: { act: "tls", fault: "unknown-ca" }, times: "always" });
cloud.levers.dropConnection("test", registrationId);
await agent.logged("hub.failed", 3);
const waiting = agent.lines.findLast(({ event }) => event === "hub.failed");
assert.ok(Number(waiting?.["inMs"]) >= 30_000, JSON.stringify(waiting));
cloud.faults.clear();
const backAt = performance.now();
ip("address", "del", "10.9.9.7/24", "dev", "br0");
await agent.logged("hub.connected", 3);
const backMs = performance.now() - backAt;
process.stdout.write(`a wait of ${Number(waiting?.["inMs"])} ms ended after ${Math.round(backMs)} ms\n`);
assert.ok(backMs < 15_000);
assert.equal(agent.lines.findLast(({ event }) => event === "agent.woken")?.["by"], "network-changed");
