import { describe, expect, test } from "vitest";
import { KeepAliveWish } from "../../src/agent/keep-alive-wish.ts";
import { createAgentSettings, type AgentSettings } from "../../src/appliers/agent-settings.ts";
import type { Applier } from "../../src/appliers/applier.ts";
import type { LogLevel } from "../../src/platform/log.ts";
import { apply, describeApplierContract } from "../contract/applier.ts";

interface Setting<Value> {
  readonly set: (Value | undefined)[];
  readonly create: () => Applier;
}

function createLevel(): Setting<LogLevel> {
  const set: (LogLevel | undefined)[] = [];
  return { set, create: () => find("logLevel", { setLogLevel: (level) => set.push(level) }) };
}

function createHeartbeat(): Setting<number> {
  const set: (number | undefined)[] = [];
  return { set, create: () => find("heartbeat", { setHeartbeat: (everyMs) => set.push(everyMs) }) };
}

function find(name: string, settings: Partial<AgentSettings>): Applier {
  const applier = createAgentSettings({
    setLogLevel: () => {},
    setHeartbeat: () => {},
    setKeepAlive: () => {},
    ...settings,
  }).get(name);
  if (applier === undefined) throw new Error(`no applier for ${name}`);
  return applier;
}

describe("the heartbeat", () => {
  describeApplierContract(async () => {
    const heartbeat = createHeartbeat();
    return {
      create: heartbeat.create,
      legal: ["15m", "10s"],
      illegal: ["9s", "25h", "often", "", 900, null, ["15m"]],
      observe: async () => heartbeat.set.at(-1),
    };
  });

  test("is set in milliseconds, and withdrawn the local configuration counts again", async () => {
    const heartbeat = createHeartbeat();
    const applier = heartbeat.create();
    await apply(applier, "15m");
    await applier.withdraw?.(new AbortController().signal);
    expect(heartbeat.set).toEqual([900_000, undefined]);
  });
});

describe("the keep-alive", () => {
  describeApplierContract(async () => {
    const set: (number | undefined)[] = [];
    return {
      create: () => find("keepAlive", { setKeepAlive: (mostMs) => set.push(mostMs) }),
      legal: ["3m", "1177s"],
      illegal: ["29s", "20m", "1178s", "", 180, null, { most: "3m" }],
      observe: async () => set.at(-1),
    };
  });

  test("wished by the twin counts for the next session, and never against the least that is configured", () => {
    const wish = new KeepAliveWish({ keepAliveMs: 180_000, leastKeepAliveMs: 60_000 });
    expect([wish.leastMs, wish.mostMs]).toEqual([60_000, 180_000]);
    wish.wish(30_000);
    expect([wish.leastMs, wish.mostMs]).toEqual([30_000, 30_000]);
    wish.wish(undefined);
    expect([wish.leastMs, wish.mostMs]).toEqual([60_000, 180_000]);
  });
});

describe("the log level", () => {
  describeApplierContract(async () => {
    const level = createLevel();
    return {
      create: level.create,
      legal: ["debug", "warning"],
      illegal: ["verbose", "DEBUG", "", 3, true, ["debug"], { level: "debug" }],
      observe: async () => level.set.at(-1),
    };
  });

  test("a bad one is answered with the known ones", async () => {
    expect(await createLevel().create().parse("verbose")).toEqual({
      status: "rejected",
      problems: ["logLevel: expected one of error, warning, notice, info, debug"],
    });
  });

  test("the same one is unchanged, but set again: a reload may have changed it meanwhile", async () => {
    const level = createLevel();
    const applier = level.create();
    expect(await apply(applier, "debug")).toMatchObject({ status: "applied" });
    expect(await apply(applier, "debug")).toEqual({ status: "unchanged" });
    expect(level.set).toEqual(["debug", "debug"]);
  });

  test("withdrawn, the local configuration counts again", async () => {
    const level = createLevel();
    const applier = level.create();
    await apply(applier, "debug");
    await applier.withdraw?.(new AbortController().signal);
    expect(level.set).toEqual(["debug", undefined]);
    expect(await apply(applier, "debug")).toMatchObject({ status: "applied" });
  });
});
