import { describe, expect, onTestFinished, test } from "vitest";
import { alongside } from "../../src/agent/alongside.ts";
import { Device, parseDeviceState } from "../../src/agent/device.ts";
import { guardChanges } from "../../src/agent/guard-changes.ts";
import { Inputs } from "../../src/agent/inputs.ts";
import { openStore } from "../../src/platform/store.ts";
import { FakeDevice } from "../appliers/fake-device.ts";
import { ManualClock } from "../manual-clock.ts";
import { RecordingLog } from "../platform/recording-log.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";

const never = new AbortController().signal;
const confirmMs = 300_000;

/** A machine with the properties `net` (on trial after each change) and `site`. */
class Machine {
  readonly fake = new FakeDevice();
  readonly recording = new RecordingLog();
  readonly clock = new ManualClock();
  readonly inputs = new Inputs(this.clock);
  readonly #folder = new TemporaryFolder();

  constructor() {
    onTestFinished(() => this.#folder[Symbol.dispose]());
  }

  async start(): Promise<Device> {
    const { log } = this.recording;
    const properties = new Map([
      ["net", this.fake.createApplier("net", { confirmMs })],
      ["site", this.fake.createApplier("site")],
    ]);
    const device = new Device({
      device: openStore(this.#folder.path, "device", parseDeviceState, log),
      appliers: { properties, components: new Map() },
      clock: this.clock,
      random: () => 0.5,
      log,
    });
    await device.restore(never);
    return device;
  }

  /** Applies version by version and confirms the first. */
  async changed(): Promise<Device> {
    const device = await this.start();
    await device.apply({ version: 1, properties: { net: "good", site: 1 } }, never);
    this.clock.advance(confirmMs / 10);
    await device.confirm(this.clock.monotonic());
    await device.apply({ version: 2, properties: { net: "bad", site: 1 } }, never);
    return device;
  }

  get net(): unknown {
    return this.fake.state.get("net");
  }
}

const bad = { version: 2, properties: { net: "bad", site: 1 } };

describe("a change after which the hub is not reached", () => {
  test("is undone after the time it has, told with the value in force, and not tried again", async () => {
    const machine = new Machine();
    const device = await machine.changed();
    expect(machine.net).toEqual(["bad", "bad"]);
    machine.clock.advance(confirmMs - 1);
    expect(await device.rollBackDue(never)).toBe(0);
    machine.clock.advance(1);
    expect(await device.rollBackDue(never)).toBe(1);
    expect(machine.net).toEqual(["good", "good"]);
    expect(machine.recording.names()).toContain("twin.rolled-back");
    const before = machine.fake.executions.length;
    const { results } = await device.apply(bad, never);
    expect(results[0]).toMatchObject({
      value: "good",
      isFinal: true,
      outcome: {
        code: "appliers/not-confirmed",
        message: "the hub was not reached within 300 s after the change; rolled back",
      },
    });
    expect(machine.fake.executions).toHaveLength(before);
  });

  test("is undone without anybody asking, and the journey is told that there may be a way out", async () => {
    const machine = new Machine();
    const device = await machine.changed();
    const stop = new AbortController();
    const guarding = guardChanges(device, machine, stop.signal).catch(() => "stopped");
    await machine.clock.someoneSleeps();
    machine.clock.advance(confirmMs);
    const input = await machine.inputs.within(Infinity, ["network-changed"], never);
    expect(input).toMatchObject({ because: "a change was rolled back" });
    expect(machine.net).toEqual(["good", "good"]);
    stop.abort(new Error("stop"));
    expect(await guarding).toBe("stopped");
    expect(machine.clock.sleeping).toBe(0);
  });

  test("the very first one leaves nothing behind", async () => {
    const machine = new Machine();
    const device = await machine.start();
    await device.apply({ version: 1, properties: { net: "bad" } }, never);
    machine.clock.advance(confirmMs);
    await device.rollBackDue(never);
    expect(machine.net).toBeUndefined();
    const { results } = await device.apply({ version: 1, properties: { net: "bad" } }, never);
    expect(results[0]).not.toHaveProperty("value");
  });

  test("is undone by the next process too, which gives it its time anew", async () => {
    const machine = new Machine();
    await machine.changed();
    const device = await machine.start();
    expect(device.trialDueInMs()).toBe(confirmMs);
    machine.clock.advance(confirmMs);
    await device.rollBackDue(never);
    expect(machine.net).toEqual(["good", "good"]);
  });

  test("is undone at once by the third start that sees it: it may be what keeps the device down", async () => {
    const machine = new Machine();
    await machine.changed();
    await machine.start();
    await machine.start();
    expect(machine.net).toEqual(["bad", "bad"]);
    await machine.start();
    expect(machine.net).toEqual(["good", "good"]);
    const executions = machine.fake.executions.length;
    await machine.start();
    expect(machine.fake.executions).toHaveLength(executions);
  });

  test("that a power cut broke off is finished at the next start, and still undone in time", async () => {
    const machine = new Machine();
    const device = await machine.start();
    await device.apply({ version: 1, properties: { net: "good" } }, never);
    machine.clock.advance(confirmMs / 10);
    await device.confirm(machine.clock.monotonic());
    machine.fake.fates.set("net", "killed");
    await expect(device.apply(bad, never)).rejects.toThrow("killed");
    expect(machine.net).toEqual(["bad", "good"]);
    const next = await machine.start();
    expect(machine.net).toEqual(["bad", "bad"]);
    machine.clock.advance(confirmMs);
    await next.rollBackDue(never);
    expect(machine.net).toEqual(["good", "good"]);
  });

  test("and that cannot be undone is told, and undone a minute later", async () => {
    const machine = new Machine();
    const device = await machine.changed();
    machine.clock.advance(confirmMs);
    machine.fake.fates.set("net", "breaks-before");
    await device.rollBackDue(never);
    expect(machine.recording.events.at(-1)).toMatchObject({ code: "appliers/not-rolled-back" });
    expect(device.trialDueInMs()).toBe(60_000);
    machine.fake.fates.clear();
    machine.clock.advance(60_000);
    await device.rollBackDue(never);
    expect(machine.net).toEqual(["good", "good"]);
  });

  test("after another unconfirmed one goes back to before both", async () => {
    const machine = new Machine();
    const device = await machine.changed();
    machine.clock.advance(1_000);
    await device.apply({ version: 3, properties: { net: "worse", site: 1 } }, never);
    expect(device.trialDueInMs()).toBe(confirmMs);
    machine.clock.advance(confirmMs);
    await device.rollBackDue(never);
    expect(machine.net).toEqual(["good", "good"]);
  });

  test("is tried once more when somebody asks for it", async () => {
    const machine = new Machine();
    const device = await machine.changed();
    machine.clock.advance(confirmMs);
    await device.rollBackDue(never);
    const { results } = await device.apply(bad, never, { isForced: true });
    expect(results[0]).toMatchObject({ outcome: { status: "applied" }, isOnTrial: true });
    expect(device.trialDueInMs()).toBe(confirmMs);
  });
});

describe("a change counts for good", () => {
  test("once the hub has answered what was asked after it had settled", async () => {
    const machine = new Machine();
    const device = await machine.changed();
    expect(device.probeInMs()).toBe(30_000);
    await device.confirm(machine.clock.monotonic());
    machine.clock.advance(29_999);
    await device.confirm(machine.clock.monotonic());
    expect(device.trialDueInMs()).toBeLessThan(Infinity);
    machine.clock.advance(1);
    await device.confirm(machine.clock.monotonic());
    expect([device.trialDueInMs(), device.probeInMs()]).toEqual([Infinity, Infinity]);
    expect(machine.recording.names()).toContain("twin.confirmed");
    const { results } = await device.apply(bad, never);
    expect(results[0]).toMatchObject({ value: "bad", outcome: { status: "applied" } });
    expect(results[0]).not.toHaveProperty("isOnTrial");
    const next = await machine.start();
    expect(next.trialDueInMs()).toBe(Infinity);
  });

  test("at once where the rule has no confirm", async () => {
    const machine = new Machine();
    const device = await machine.start();
    const { results } = await device.apply({ version: 1, properties: { site: 1 } }, never);
    expect(results[0]).not.toHaveProperty("isOnTrial");
    expect(device.trialDueInMs()).toBe(Infinity);
  });

  test("where the device was like that already", async () => {
    const machine = new Machine();
    machine.fake.state.set("net", ["good", "good"]);
    const device = await machine.start();
    await device.apply({ version: 1, properties: { net: "good" } }, never);
    expect(device.trialDueInMs()).toBe(Infinity);
  });
});

test("a change that fails half-way is undone at once, and the value before stays in force", async () => {
  const machine = new Machine();
  const device = await machine.changed();
  machine.clock.advance(confirmMs / 10);
  await device.confirm(machine.clock.monotonic());
  machine.fake.fates.set("net", "breaks-half-way");
  const { results } = await device.apply({ version: 3, properties: { net: "x" } }, never);
  expect(results[0]).toMatchObject({ value: "bad", outcome: { status: "failed", changed: [] } });
  expect(machine.net).toEqual(["bad", "bad"]);
  expect(device.trialDueInMs()).toBe(Infinity);
});

test("a change after an unconfirmed one that fails half-way goes back to before both, and is known to", async () => {
  const machine = new Machine();
  const device = await machine.changed();
  machine.fake.fates.set("net", "breaks-half-way");
  const { results } = await device.apply({ version: 3, properties: { net: "x" } }, never);
  expect(results[0]).toMatchObject({ value: "good", outcome: { status: "failed", changed: [] } });
  expect(machine.net).toEqual(["good", "good"]);
  await device.apply({ version: 4, properties: { net: "bad" } }, never);
  expect(machine.net).toEqual(["bad", "bad"]);
});

describe("things done alongside each other", () => {
  test("end with the first failure, and the others are waited for", async () => {
    const events: string[] = [];
    const work = alongside(
      never,
      async () => Promise.reject(new Error("first")),
      async (signal) => {
        await new Promise((resolve) => {
          signal.addEventListener("abort", resolve, { once: true });
        });
        events.push("ended");
        throw new Error("second");
      },
    );
    await expect(work).rejects.toThrow("first");
    expect(events).toEqual(["ended"]);
  });

  test("end with the signal's reason", async () => {
    const reason = new Error("stop");
    const work = alongside(AbortSignal.abort(reason), async (signal) => {
      signal.throwIfAborted();
      throw new Error("not reached");
    });
    await expect(work).rejects.toBe(reason);
  });
});
