import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Heartbeat } from "../../src/agent/heartbeat.ts";
import type { Telemetry } from "../../src/hub/session.ts";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { ManualClock } from "../manual-clock.ts";
import { Gateway } from "./gateway.ts";

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
});

afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

function beating() {
  const clock = new ManualClock();
  const sent: Telemetry[] = [];
  const heartbeat = new Heartbeat(
    clock,
    (message) => sent.push(message),
    () => ({ version: "1.2.3" }),
  );
  const pass = async (ms: number) => {
    clock.advance(ms);
    for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
  };
  return { clock, sent, heartbeat, pass };
}

describe("a heartbeat", () => {
  test("that nobody asked for does not beat, and wakes nobody", async () => {
    const { clock, sent, heartbeat, pass } = beating();
    heartbeat.configure(undefined);
    await pass(24 * 60 * 60_000);
    expect([sent.length, clock.sleeping]).toEqual([0, 0]);
  });

  test("beats at once and then at its times", async () => {
    const { clock, sent, heartbeat, pass } = beating();
    heartbeat.configure(60_000);
    await pass(59_999);
    expect(sent).toHaveLength(1);
    await pass(1);
    await pass(60_000);
    expect(sent).toHaveLength(3);
    expect(JSON.parse(sent[2]?.body ?? "")).toEqual({
      at: new Date(clock.now()).toISOString(),
      version: "1.2.3",
    });
    heartbeat[Symbol.dispose]();
  });

  test("follows the twin before the configuration, and a wish that stays the same does not make it beat anew", async () => {
    const { clock, sent, heartbeat, pass } = beating();
    heartbeat.configure(60_000);
    heartbeat.wish(10_000);
    heartbeat.wish(10_000);
    heartbeat.configure(30_000);
    await pass(10_000);
    expect(sent).toHaveLength(3);
    heartbeat.wish(undefined);
    await pass(29_999);
    expect(sent).toHaveLength(4);
    heartbeat.configure(undefined);
    await pass(60_000);
    expect([sent.length, clock.sleeping]).toEqual([4, 0]);
  });
});

test("the heartbeat arrives with content type and encoding, at the times that the twin wishes", async () => {
  const clock = new ManualClock();
  await using gateway = new Gateway(cloud, { clock, more: '[telemetry]\nheartbeat = "15m"' });
  cloud.levers.enrollments.put({
    registrationId: gateway.registrationId,
    primaryKey: gateway.key,
    hub: "test",
  });
  await gateway.start();
  await gateway.connected();
  const arrived = () => cloud.levers.telemetry("test", gateway.registrationId);
  await expect.poll(() => arrived().length).toBe(1);
  expect(arrived()[0]?.properties).toEqual({
    "$.ct": "application/json",
    "$.ce": "utf-8",
    kind: "heartbeat",
  });
  expect(JSON.parse(arrived()[0]?.body ?? "")).toMatchObject({ version: "0.0.0-test" });

  cloud.levers.patchTwin("test", gateway.registrationId, {
    desired: { latebind: { __t: "c", heartbeat: "1m" } },
  });
  await expect.poll(() => arrived().length).toBe(2);
  const { reported } = cloud.levers.twin("test", gateway.registrationId);
  expect(reported.properties["latebind"]).toMatchObject({ heartbeat: { value: "1m", ac: 200 } });
  clock.advance(60_000);
  await expect.poll(() => arrived().length).toBe(3);
});
