import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Device, parseDeviceState, type DeviceState } from "../../src/agent/device.ts";
import { AgentError } from "../../src/platform/failure.ts";
import { PatientStore } from "../../src/platform/patient-store.ts";
import { openStore, type Store } from "../../src/platform/store.ts";
import { ManualClock } from "../manual-clock.ts";
import { FakeDevice } from "../appliers/fake-device.ts";
import { anyJson } from "../platform/any-json.ts";
import { RecordingLog } from "../platform/recording-log.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";

const never = new AbortController().signal;

/** A machine whose agent can be started anew: what is on disk and what is in force stay. */
class Machine {
  readonly fake = new FakeDevice();
  readonly recording = new RecordingLog();
  readonly #folder: TemporaryFolder;

  constructor(folder: TemporaryFolder) {
    this.#folder = folder;
  }

  start(store?: Store<DeviceState>): Device {
    const { log } = this.recording;
    const properties = new Map(["site", "line"].map((name) => [name, this.fake.createApplier(name)]));
    return new Device({
      device: store ?? openStore(this.#folder.path, "device", parseDeviceState, log),
      appliers: { properties, components: new Map() },
      clock: new ManualClock(),
      random: () => 0.5,
      log,
    });
  }
}

const desired = (version: number, properties: Readonly<Record<string, string>>) => ({ version, properties });

describe("what is in force", () => {
  test("is known to the next process, which applies nothing again", async () => {
    using folder = new TemporaryFolder();
    const machine = new Machine(folder);
    await machine.start().apply(desired(1, { site: "one" }), never);
    await machine.start().restore(never);
    await machine.start().apply(desired(1, { site: "one" }), never);
    expect(machine.fake.executions).toEqual(["site"]);
    expect(machine.recording.names()).toEqual(["twin.applied"]);
  });

  test("is finished at the next start where a power cut broke it off, without any cloud", async () => {
    using folder = new TemporaryFolder();
    const machine = new Machine(folder);
    await machine.start().apply(desired(1, { site: "one" }), never);
    machine.fake.fates.set("site", "killed");
    await expect(machine.start().apply(desired(2, { site: "two" }), never)).rejects.toThrow("killed");
    expect(machine.fake.state.get("site")).toEqual(["two", "one"]);
    await machine.start().restore(never);
    expect(machine.fake.state.get("site")).toEqual(["two", "two"]);
  });

  test("is nothing at the very first start", async () => {
    using folder = new TemporaryFolder();
    const machine = new Machine(folder);
    await machine.start().restore(never);
    expect(machine.fake.executions).toEqual([]);
    expect(machine.recording.lines).toEqual([]);
  });
});

describe("trouble", () => {
  test("of one property is told once and does not stop the others", async () => {
    using folder = new TemporaryFolder();
    const machine = new Machine(folder);
    machine.fake.fates.set("line", "breaks-before");
    const { results } = await machine.start().apply(desired(3, { line: "x", site: "y" }), never);
    expect(results.map(({ outcome }) => outcome.status).toSorted()).toEqual(["applied", "failed"]);
    const told = machine.recording.events.find(({ event }) => event === "twin.failed");
    expect(told).toMatchObject({
      level: "error",
      property: "line",
      version: 3,
      code: "fake/broken",
      message: "before",
    });
    expect(machine.fake.state.get("site")).toEqual(["y", "y"]);
  });

  test("of the disk is told, and the work goes on from memory", async () => {
    using folder = new TemporaryFolder();
    const machine = new Machine(folder);
    const full: Store<DeviceState> = {
      read: () => undefined,
      write: async () =>
        Promise.reject(new AgentError("platform/state-not-written", "retry", "cannot write (ENOSPC)")),
    };
    const told: unknown[] = [];
    const device = machine.start(new PatientStore(full, (trouble) => told.push(trouble?.code)));
    await device.apply(desired(1, { site: "one" }), never);
    await device.apply(desired(1, { site: "one" }), never);
    expect(machine.fake.executions).toEqual(["site"]);
    expect(told).toEqual(["platform/state-not-written"]);
  });

  test("that is a bug is not swallowed", async () => {
    using folder = new TemporaryFolder();
    const broken: Store<DeviceState> = {
      read: () => undefined,
      write: async () => Promise.reject(new TypeError("a bug")),
    };
    await expect(new Machine(folder).start(broken).apply(desired(1, { site: "one" }), never)).rejects.toThrow(
      "a bug",
    );
  });
});

test("a property that is no longer wanted is told as released", async () => {
  using folder = new TemporaryFolder();
  const machine = new Machine(folder);
  const device = machine.start();
  await device.apply(desired(1, { site: "one" }), never);
  await device.apply(desired(2, {}), never);
  expect(machine.recording.events.at(-1)).toMatchObject({
    level: "notice",
    event: "twin.released",
    version: 2,
  });
});

test("whatever the store holds, reading it gives a state or nothing", () => {
  fc.assert(
    fc.property(
      anyJson,
      anyJson,
      fc.oneof(anyJson, fc.integer()),
      anyJson,
      (value, properties, version, remembered) => {
        for (const json of [value, { desired: value }, { desired: { version, properties }, remembered }]) {
          const state = parseDeviceState(json);
          expect(state === undefined || typeof state.desired.version === "number").toBe(true);
        }
      },
    ),
  );
});
