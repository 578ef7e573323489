import { afterAll, beforeAll, expect, test } from "vitest";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { AgentProcess } from "./agent-process.ts";
import { FakeTime, offsetTo1970, whyNoFakeTime } from "./fake-time.ts";
import { Gateway } from "./gateway.ts";
import { DatagramSocket } from "../platform/datagram-socket.ts";

/* A process of its own whose wall clock is wrong, TLS included. */

if (whyNoFakeTime !== undefined) console.log(`skipped: wrong clocks: ${whyNoFakeTime}`);

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ assigningAnswers: 0, pollAfterSeconds: 0 });
});

afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

function enrolled(): Gateway {
  const gateway = new Gateway(cloud);
  cloud.levers.enrollments.put({
    registrationId: gateway.registrationId,
    primaryKey: gateway.key,
    initialTwin: { desired: { site: { name: "Hall 7" } } },
  });
  return gateway;
}

const rows = [
  {
    name: "1970",
    offset: offsetTo1970(),
    says: /^STATUS=not connected: this device's clock is wrong: it says 1970-01-01 00:0\d UTC, but this software was built on 20\d\d-\d\d-\d\d\. No certificate can be checked with it\. Set the clock or mend NTP; the agent goes on by itself once the clock is right \[provisioning\/clock-doubtful\]/,
  },
  {
    name: "a year that has yet to come",
    offset: "+5y",
    says: /^STATUS=not connected: this device's clock is in doubt: it says 20\d\d-\d\d-\d\d \d\d:\d\d UTC, (and it is not synchronised, )?5 years after anything that this device knows of\. By it the server's certificate does not hold\. Set the clock or mend NTP; the agent goes on by itself once the clock is right \[provisioning\/clock-doubtful\]/,
  },
];

test.skipIf(whyNoFakeTime !== undefined).for(rows)(
  "a clock that starts in $name: one sentence says so, and once it is right the agent connects at once",
  async ({ offset, says }) => {
    await using gateway = enrolled();
    await using manager = await DatagramSocket.open();
    const time = new FakeTime(gateway, offset);
    await using agent = new AgentProcess(gateway, { NOTIFY_SOCKET: manager.path, ...time.environment });
    await manager.says(says);
    const before = performance.now();
    time.set("+0");
    await agent.logged("report.accepted");
    // The clock is looked at every 5 s; the ladder alone would have taken 30 s and more.
    expect(performance.now() - before).toBeLessThan(10_000);
    expect(await agent.logged("clock.jumped")).toBeDefined();
    expect(agent.lines.filter(({ event }) => event === "provisioning.failed")).toHaveLength(1);
    expect(gateway.site()).toEqual({ name: "Hall 7" });
  },
);

test.skipIf(whyNoFakeTime !== undefined)(
  "a clock that is set wrong under a running session ends nothing, and set right again neither",
  async () => {
    await using gateway = enrolled();
    const time = new FakeTime(gateway, "+0");
    await using agent = new AgentProcess(gateway, time.environment);
    await agent.logged("report.accepted");
    time.set("+5y");
    cloud.levers.patchTwin(cloud.hub("test").name, gateway.registrationId, {
      desired: { site: { name: "Hall 8" } },
    });
    await agent.logged("twin.applied", 2);
    expect(gateway.site()).toEqual({ name: "Hall 8" });
    expect(agent.lines.filter(({ event }) => event === "hub.failed")).toEqual([]);
  },
);
