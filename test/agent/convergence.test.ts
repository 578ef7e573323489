import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Device, parseDeviceState, type DeviceState } from "../../src/agent/device.ts";
import { isJson, isJsonObject, mergePatch, type Json, type JsonObject } from "../../src/platform/json.ts";
import { createLog } from "../../src/platform/log.ts";
import type { Store } from "../../src/platform/store.ts";
import { diffReported, wantedReported } from "../../src/report/patch.ts";
import { applyDesiredPatch, type Desired } from "../../src/twin/desired.ts";
import { FakeDevice, type Fate } from "../appliers/fake-device.ts";
import { ManualClock } from "../manual-clock.ts";

const never = new AbortController().signal;
const names = ["a", "b", "net"] as const;
const confirmMs = 60_000;
const facts = { version: "0.0.0-test", phase: "online" };

/** A store whose content goes through JSON, as a disk would have it. */
class JsonStore implements Store<DeviceState> {
  #text: string | undefined;

  read(): DeviceState | undefined {
    const json: unknown = this.#text === undefined ? undefined : JSON.parse(this.#text);
    return isJson(json) ? parseDeviceState(json) : undefined;
  }

  async write(state: DeviceState): Promise<void> {
    this.#text = JSON.stringify(state);
  }
}

/** A twin at the hub, and a device that follows it through everything that can happen. */
class World {
  readonly fake = new FakeDevice();
  readonly clock = new ManualClock();
  readonly #store = new JsonStore();
  desired: Desired = { version: 1, properties: {} };
  reported: JsonObject = {};
  #known: Desired | undefined;
  #life = { isOver: false };
  #device: Device = this.#process();

  #process(): Device {
    const properties = new Map(
      names.map((name) => [name, this.fake.createApplier(name, name === "net" ? { confirmMs } : {})]),
    );
    this.#life.isOver = true;
    const life = { isOver: false };
    this.#life = life;
    return new Device({
      device: {
        read: () => this.#store.read(),
        // What a dead process meant to write later, it does not write.
        write: async (state) => (life.isOver ? undefined : this.#store.write(state)),
      },
      appliers: { properties, components: new Map() },
      clock: this.clock,
      random: () => 0.5,
      log: createLog({ write: () => {} }, "error"),
    });
  }

  /** The operator changes the twin; the device hears of it if it is connected. */
  async patch(change: JsonObject): Promise<void> {
    const version = this.desired.version + 1;
    this.desired = { version, properties: mergePatch(this.desired.properties, change) };
    if (this.#known === undefined) return;
    const heard = applyDesiredPatch(this.#known, { ...change, $version: version });
    if (heard.status === "applied") await this.#follow(heard.desired);
  }

  disconnect(): void {
    this.#known = undefined;
  }

  async connect(isForced = false): Promise<void> {
    const askedAtMs = this.clock.monotonic();
    const { desired } = this;
    await this.#device.confirm(askedAtMs);
    await this.#follow(desired, isForced);
  }

  /** The process dies and starts again, without a network. */
  async restart(): Promise<void> {
    this.#known = undefined;
    this.#device = this.#process();
    await this.#surviving(async () => this.#device.restore(never));
  }

  async wait(): Promise<void> {
    this.clock.advance(confirmMs);
    if (this.#known !== undefined) await this.#device.confirm(this.clock.monotonic());
    await this.#device.rollBackDue(never);
  }

  async #follow(desired: Desired, isForced = false): Promise<void> {
    await this.#surviving(async () => {
      const reconciled = await this.#device.apply(desired, never, { isForced });
      this.#known = desired;
      const patch = diffReported(this.reported, wantedReported(reconciled, facts));
      if (patch !== undefined) this.reported = mergePatch(this.reported, patch);
    });
  }

  /** Being killed in the middle is followed by another start. */
  async #surviving(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Error) || error.message !== "killed") throw error;
      await this.restart();
    }
  }

  /** What the device is and what the hub has of it. */
  outcome(name: string): unknown {
    const answer = this.reported[name];
    if (!isJsonObject(answer)) return "not answered";
    return answer["ac"] === 400
      ? { ac: 400, av: answer["av"] }
      : { answer, state: this.fake.state.get(name) };
  }
}

/** Values that are objects are not legal to the fake device. */
function expectedOutcome(wanted: Json | undefined, version: number): unknown {
  if (wanted === undefined) return "not answered";
  if (isJsonObject(wanted)) return { ac: 400, av: version };
  return { answer: { value: wanted, ac: 200, av: version, ad: "in force" }, state: [wanted, wanted] };
}

const value = fc.constantFrom<Json>(1, 2, 3, "x", {}, null);
const event = fc.oneof(
  fc.record({ is: fc.constant("patch" as const), change: fc.dictionary(fc.constantFrom(...names), value) }),
  fc.record({ is: fc.constantFrom("disconnect", "connect", "restart", "wait" as const) }),
  fc.record({
    is: fc.constant("fate" as const),
    name: fc.constantFrom(...names),
    fate: fc.constantFrom<Fate>("breaks-before", "breaks-half-way", "killed"),
  }),
);

test("whatever is patched, lost, restarted, killed and failed: at the end the device is the twin, with one answer per property at the final version", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 25 }), async (events) => {
      const world = new World();
      for (const one of events) {
        if (one.is === "patch") await world.patch(one.change);
        else if (one.is === "fate") world.fake.fates.set(one.name, one.fate);
        else await world[one.is]();
      }
      world.fake.fates.clear();
      // What was undone for want of a hub is tried again only when somebody asks.
      await world.connect(true);
      await world.wait();
      await world.connect();
      const { version, properties } = world.desired;
      expect(names.map((name) => world.outcome(name))).toEqual(
        names.map((name) => expectedOutcome(properties[name], version)),
      );
    }),
    { numRuns: 1_000 },
  );
}, 60_000);
