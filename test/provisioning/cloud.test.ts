import { createHmac, randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Key } from "../../src/identity/identity.ts";
import { sharedAccessSignature } from "../../src/identity/sas.ts";
import { openMqttLink } from "../../src/mqtt/mqtt-js-link.ts";
import { openOverMqtt } from "../../src/provisioning/over-mqtt.ts";
import { register } from "../../src/provisioning/register.ts";
import { dpsKeyName, dpsResource, dpsUsername, type Assigned } from "../../src/provisioning/wire.ts";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { failureOf } from "../failure-of.ts";
import { ManualClock } from "../manual-clock.ts";

/* The conversation with a DPS that checks credentials and keeps its own clock. */

const never = new AbortController().signal;
let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud();
});
afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

class Device {
  readonly registrationId = `gw-${randomBytes(4).toString("hex")}`;
  readonly secret: Buffer = randomBytes(32);
  readonly clock = new ManualClock();
  readonly #key: Key = { hmac: async (data) => createHmac("sha256", this.secret).update(data).digest() };

  enroll(more: Parameters<Cloud["levers"]["enrollments"]["put"]>[0] | object = {}): void {
    const primaryKey = this.secret.toString("base64");
    cloud.levers.enrollments.put({ registrationId: this.registrationId, primaryKey, ...more });
  }

  /** Whenever the device waits it is woken, as long as `onWait` does not say otherwise. */
  async register(payload?: unknown): Promise<Assigned> {
    const { registrationId, clock } = this;
    const resource = dpsResource(cloud.idScope, registrationId);
    await using transport = await openOverMqtt(
      openMqttLink,
      {
        endpoint: cloud.dps.host,
        port: cloud.dps.port,
        trustedRoots: cloud.caPem,
        registrationId,
        username: dpsUsername(cloud.idScope, registrationId, "2021-06-01", "latebind/test"),
        password: await sharedAccessSignature(this.#key, resource, Date.now() + 3_600_000, dpsKeyName, never),
        payload,
      },
      never,
    );
    const state = { isDone: false };
    const work = register(transport, clock, never).finally(() => {
      state.isDone = true;
    });
    work.catch(() => {});
    while (!state.isDone) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      if (clock.sleeping > 0) clock.advance(clock.nextIn() ?? 0);
    }
    return await work;
  }
}

describe("what DPS refuses", () => {
  test("a disabled enrollment", async () => {
    const device = new Device();
    device.enroll({ enabled: false });
    expect(await failureOf(device.register())).toMatchObject({
      code: "provisioning/disabled",
      remedy: "operator",
    });
  });

  test("an enrollment without a hub: failed, with the service's own code", async () => {
    const device = new Device();
    device.enroll({ hub: null });
    const error = await failureOf(device.register());
    expect(error).toMatchObject({ code: "provisioning/failed", remedy: "retry" });
    expect(error.message).toContain("400208");
  });

  test("an unknown registration ID", async () => {
    expect((await failureOf(new Device().register())).code).toBe("provisioning/enrollment-not-found");
  });

  test("another key", async () => {
    const device = new Device();
    device.enroll({ primaryKey: randomBytes(32).toString("base64") });
    expect((await failureOf(device.register())).code).toBe("provisioning/unauthorized");
  });

  test("polls that come too often, with the wish of the service", async () => {
    const device = new Device();
    device.enroll();
    cloud.levers.setPace({ pollsPer10Seconds: 0, assigningAnswers: 5 });
    const error = await failureOf(device.register());
    cloud.levers.setPace({ pollsPer10Seconds: 5, assigningAnswers: 1 });
    expect(error).toMatchObject({ code: "provisioning/throttled", remedy: "retry" });
  });
});

describe("an assignment", () => {
  test("is polled for as often as it takes, each time after the wait that DPS names", async () => {
    const device = new Device();
    device.enroll({ deviceId: "GW#1" });
    cloud.levers.setPace({ pollAfterSeconds: 4, assigningAnswers: 3 });
    const assigned = await device.register();
    cloud.levers.setPace({ pollAfterSeconds: 3, assigningAnswers: 1 });
    expect(assigned).toMatchObject({
      hub: cloud.hub("test").host,
      deviceId: "GW#1",
      substatus: "initialAssignment",
    });
    expect(device.clock.asked).toEqual([4_000, 4_000, 4_000]);
  });

  test("carries the payload of the allocation back, and the device's own out", async () => {
    const device = new Device();
    device.enroll({ payload: { line: 7 } });
    const before = cloud.journal.lastSeq;
    expect((await device.register({ site: "Hall 7" })).payload).toEqual({ line: 7 });
    const seen = cloud.journal.events(before).find(({ kind }) => kind === "register");
    expect(seen).toMatchObject({ payload: { site: "Hall 7" } });
  });

  test("is asked for on a clean session, and the line is closed afterwards", async () => {
    const device = new Device();
    device.enroll();
    const before = cloud.journal.lastSeq;
    await device.register();
    await cloud.waitFor(({ kind }) => kind === "disconnect", 5_000, before);
    const events = cloud.journal.events(before);
    expect(events.find(({ kind }) => kind === "connect")).toMatchObject({
      cleanSession: true,
      returnCode: 0,
    });
    expect(events.find(({ kind }) => kind === "disconnect")).toMatchObject({
      because: "client disconnected",
    });
  });
});
