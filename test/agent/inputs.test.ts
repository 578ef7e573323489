import { describe, expect, test } from "vitest";
import { Inputs } from "../../src/agent/inputs.ts";
import { startCloud } from "../cloud/cloud.ts";
import { ManualClock } from "../manual-clock.ts";
import { Gateway } from "./gateway.ts";

const forever = new AbortController().signal;
const hour = 60 * 60_000;

describe("an input", () => {
  test("that nobody asked for ends no wait", async () => {
    const clock = new ManualClock();
    const inputs = new Inputs(clock);
    const wait = inputs.within(hour, ["reprovision"], forever);
    inputs.tell({ kind: "network-changed" });
    clock.advance(hour - 1);
    const winner = await Promise.race([wait, Promise.resolve("still waiting")]);
    expect(winner).toBe("still waiting");
    clock.advance(1);
    expect(await wait).toBeUndefined();
    expect(clock.sleeping).toBe(0);
  });

  test("ends a wait at once, and only one", async () => {
    const clock = new ManualClock();
    const inputs = new Inputs(clock);
    const first = inputs.within(hour, ["resumed"], forever);
    inputs.tell({ kind: "resumed", because: "the lid" });
    expect(await first).toEqual({ kind: "resumed", because: "the lid" });
    const second = inputs.within(hour, ["resumed"], forever);
    clock.advance(hour);
    expect(await second).toBeUndefined();
  });

  test("that comes while nobody waits is not lost, and counts once however often it was told", async () => {
    const clock = new ManualClock();
    const inputs = new Inputs(clock);
    for (let count = 0; count < 5; count += 1) inputs.tell({ kind: "reprovision" });
    expect(await inputs.within(hour, ["reprovision"], forever)).toEqual({ kind: "reprovision" });
    const next = inputs.within(hour, ["reprovision"], forever);
    clock.advance(hour);
    expect(await next).toBeUndefined();
  });

  test("of greater reach is heeded first; the other one stays", async () => {
    const inputs = new Inputs(new ManualClock());
    inputs.tell({ kind: "network-changed" });
    inputs.tell({ kind: "reprovision" });
    const kinds = ["network-changed", "reprovision"] as const;
    expect(await inputs.within(hour, kinds, forever)).toEqual({ kind: "reprovision" });
    expect(await inputs.within(hour, kinds, forever)).toEqual({ kind: "network-changed" });
  });

  test("that was forgotten wakes nobody", async () => {
    const clock = new ManualClock();
    const inputs = new Inputs(clock);
    inputs.tell({ kind: "network-changed" });
    inputs.forget(["network-changed"]);
    const wait = inputs.within(hour, ["network-changed"], forever);
    clock.advance(hour);
    expect(await wait).toBeUndefined();
  });

  test("is no answer to an abort", async () => {
    const inputs = new Inputs(new ManualClock());
    const stop = new AbortController();
    const wait = inputs.within(hour, ["resumed"], stop.signal);
    stop.abort(new Error("stopped"));
    await expect(wait).rejects.toThrow("stopped");
  });

  test("that comes every second is heeded ever less often: a storm of ten minutes wakes 16 times at most", async () => {
    const clock = new ManualClock();
    const inputs = new Inputs(clock);
    let woken = 0;
    for (let second = 0; second < 600; second += 1) {
      inputs.tell({ kind: "network-changed" });
      const wait = inputs.within(1_000, ["network-changed"], forever);
      const input = await Promise.race([wait, clock.someoneSleeps()]);
      clock.advance(1_000);
      if ((input ?? (await wait)) !== undefined) woken += 1;
    }
    expect(woken).toBeGreaterThanOrEqual(14);
    expect(woken).toBeLessThanOrEqual(16);
  });
});

describe("the journey", () => {
  test("waits no longer for a dead line once another way leads out, but its ladder goes on", async () => {
    const clock = new ManualClock();
    await using cloud = await startCloud({ assigningAnswers: 0 });
    await using gateway = await connected(cloud, clock);
    await cloud.levers.setLine("test", false);
    await gateway.until(() => gateway.health.at(-1)?.at === "waiting", "the line was cut");
    await cloud.levers.setLine("test", true);
    gateway.inputs.tell({ kind: "network-changed" });
    await gateway.connected();
    expect(gateway.events("agent.woken")).toMatchObject([{ by: "network-changed" }]);
  });

  test("asks DPS once when the operator wants it, from a healthy session, and comes back", async () => {
    await using cloud = await startCloud({ assigningAnswers: 0 });
    await using gateway = await connected(cloud, new ManualClock());
    cloud.levers.moveEnrollment(gateway.registrationId, "production");
    gateway.inputs.tell({ kind: "reprovision", because: "a direct method" });
    await gateway.until(
      () => gateway.lastHealth.startsWith(`connected to ${cloud.hub("production").host}`),
      "it moved",
    );
    expect(gateway.events("provisioning.started").at(-1)).toMatchObject({
      because: "a direct method asked for it",
    });
    expect(cloud.journal.events().filter(({ kind }) => kind === "register")).toHaveLength(2);
  });

  test("goes back to its hub when the operator wants DPS and DPS refuses", async () => {
    const clock = new ManualClock();
    await using cloud = await startCloud({ assigningAnswers: 0 });
    await using gateway = await connected(cloud, clock);
    cloud.levers.enrollments.change(gateway.registrationId, { enabled: false });
    gateway.inputs.tell({ kind: "reprovision" });
    await gateway.until(() => gateway.failures().includes("provisioning/disabled"), "DPS refused");
    await gateway.until(() => gateway.health.at(-1)?.at === "waiting", "it waits");
    await clock.someoneSleeps();
    clock.advance(60_000);
    await gateway.connected();
    // It was a wish, and DPS has answered it: nothing is owed.
    expect(gateway.lastHealth).not.toMatch(/until DPS answers/);
    clock.advance(3 * 60 * 60_000);
    await gateway.until(() => gateway.events("hub.connected").length === 3, "the token was renewed");
    expect(gateway.events("provisioning.started")).toHaveLength(2);
  });

  test("starts over with the identity when it is told to", async () => {
    await using cloud = await startCloud({ assigningAnswers: 0 });
    await using gateway = await connected(cloud, new ManualClock());
    gateway.inputs.tell({ kind: "restart" });
    await gateway.until(() => gateway.events("identity.opened").length === 2, "the identity was opened anew");
    await gateway.connected();
    expect(gateway.failures()).toEqual([]);
  });

  test("leaves a session whose way out is gone, within five seconds", async () => {
    const clock = new ManualClock();
    await using cloud = await startCloud({ assigningAnswers: 0 });
    await using gateway = await connected(cloud, clock);
    gateway.inputs.tell({ kind: "resumed" });
    await gateway.until(() => gateway.events("hub.left").length === 1, "the session was left");
    await clock.someoneSleeps();
    clock.advance(5_000);
    await gateway.until(() => gateway.events("hub.connected").length === 2, "it reconnected");
    expect(gateway.failures()).toEqual([]);
  });
});

async function connected(cloud: Awaited<ReturnType<typeof startCloud>>, clock: ManualClock) {
  const gateway = new Gateway(cloud, { clock });
  const { registrationId, key } = gateway;
  cloud.levers.enrollments.put({ registrationId, primaryKey: key, hub: "test" });
  await gateway.start();
  await gateway.connected();
  return gateway;
}
