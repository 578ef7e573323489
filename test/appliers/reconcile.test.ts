import { describe, expect, test } from "vitest";
import type { Applier } from "../../src/appliers/applier.ts";
import { parseRemembered } from "../../src/appliers/remembered.ts";
import { ReconcilingAgent as Agent } from "./reconciling-agent.ts";

describe("a bad property", () => {
  test("that is not legal is rejected with the value that stays in force, and the others are applied", async () => {
    const agent = new Agent();
    await agent.want({ a: 1 });
    const { results } = await agent.want({ a: { bad: true }, b: 2 });
    expect(results).toEqual([
      {
        property: "a",
        version: 2,
        outcome: { status: "rejected", problems: ["a: no objects"] },
        value: 1,
        isFresh: true,
      },
      { property: "b", version: 2, outcome: { status: "applied", changed: ["b"] }, value: 2, isFresh: true },
    ]);
    expect(agent.device.state.get("a")).toEqual([1, 1]);
  });

  test("that failed before it touched anything leaves the old value in force", async () => {
    const agent = new Agent();
    await agent.want({ a: 1 });
    agent.device.fates.set("a", "breaks-before");
    const { results } = await agent.want({ a: 2, b: 2 });
    expect(results[0]).toMatchObject({ outcome: { status: "failed" }, value: 1 });
    expect(results[1]).toMatchObject({ outcome: { status: "applied" }, value: 2 });
  });

  test("that failed half-way leaves nothing that is known to be in force", async () => {
    const agent = new Agent();
    await agent.want({ a: 1 });
    agent.device.fates.set("a", "breaks-half-way");
    const { results } = await agent.want({ a: 2 });
    expect(results[0]).not.toHaveProperty("value");
  });

  test("that failed is tried again, at the same version too, until it works", async () => {
    const agent = new Agent();
    agent.device.fates.set("a", "breaks-half-way");
    await agent.want({ a: 1 });
    agent.version -= 1;
    const { results } = await agent.want({ a: 1 });
    expect(results[0]).toMatchObject({ outcome: { status: "applied" }, value: 1, version: 1 });
    expect(agent.device.executions).toEqual(["a", "a"]);
  });

  test("whose old value is wanted again after half a change is applied, not believed", async () => {
    const agent = new Agent();
    await agent.want({ a: 1 });
    agent.device.fates.set("a", "breaks-half-way");
    await agent.want({ a: 2 });
    await agent.want({ a: 1 });
    expect(agent.device.state.get("a")).toEqual([1, 1]);
  });

  test("an error that is no outcome is a bug and is thrown", async () => {
    const agent = new Agent();
    agent.device.fates.set("a", "killed");
    await expect(agent.want({ a: 1 })).rejects.toThrow("killed");
  });
});

describe("what is in force already", () => {
  test("is acknowledged at the newer version without being applied again, also after a restart", async () => {
    const agent = new Agent();
    await agent.want({ a: [1, "x"] });
    const { results } = await agent.want({ a: [1, "x"] });
    expect(results).toEqual([
      {
        property: "a",
        version: 2,
        outcome: { status: "applied", changed: ["a"] },
        value: [1, "x"],
        isFresh: false,
      },
    ]);
    expect(agent.device.executions).toEqual(["a"]);
  });

  test("is not touched when it is wanted again after a value that was not legal", async () => {
    const agent = new Agent();
    await agent.want({ a: 1 });
    await agent.want({ a: {} });
    expect((await agent.want({ a: 1 })).results[0]).toMatchObject({
      outcome: { status: "unchanged" },
      value: 1,
    });
    expect(agent.device.executions).toEqual(["a"]);
  });

  test("is applied again when the local rule changed, and the old rule's value is not said to be in force", async () => {
    const agent = new Agent();
    await agent.want({ a: 1 });
    const changed = agent.device.createApplier("a", { fingerprint: "another file" });
    agent.appliers = agent.withAppliers(new Map([["a", changed]]));
    agent.device.fates.set("a", "breaks-before");
    expect((await agent.want({ a: 1 })).results[0]).not.toHaveProperty("value");
    await agent.want({ a: 1 });
    expect(agent.device.executions).toEqual(["a", "a", "a"]);
  });

  test("costs no write of the memory while it is applied for the first time, and one before it is replaced", async () => {
    const agent = new Agent();
    await agent.want({ a: 1, b: 1 });
    expect(agent.memoryWrites).toBe(0);
    await agent.want({ a: 1, b: 2 });
    expect(agent.memoryWrites).toBe(1);
  });
});

describe("what desired does not have, or nobody serves", () => {
  test("a property that goes away stays applied, is told once, and is reported as absent from then on", async () => {
    const agent = new Agent();
    await agent.want({ a: 1 });
    const first = await agent.want({});
    expect(first.absent).toContainEqual({ property: "a" });
    expect(first.released).toEqual([{ property: "a" }]);
    const second = await agent.want({});
    expect(second.absent).toContainEqual({ property: "a" });
    expect(second.released).toEqual([]);
    expect(agent.device.state.get("a")).toEqual([1, 1]);
    expect(agent.device.withdrawn).toEqual(["a"]);
  });

  test("a property whose rule went away is told once and reported as absent", async () => {
    const agent = new Agent();
    await agent.want({ a: 1, b: 1 });
    agent.appliers = agent.withProperties(["a"]);
    const { released, absent, ignored } = await agent.want({ a: 1, b: 1 });
    expect(released).toEqual([{ property: "b" }]);
    expect(absent).toContainEqual({ property: "b" });
    expect(ignored).toEqual(["b"]);
    expect((await agent.want({ a: 1, b: 1 })).released).toEqual([]);
  });

  test("a property without an applier is counted and not acknowledged", async () => {
    const agent = new Agent();
    const { results, ignored } = await agent.want({ other: 1, toString: 2, a: 1 });
    expect(results.map(({ property }) => property)).toEqual(["a"]);
    expect(ignored).toEqual(["other", "toString"]);
  });

  test("what objects inherit is not desired, and a property called __proto__ is served like any other", async () => {
    const agent = new Agent();
    agent.appliers = agent.withProperties(["constructor", "__proto__"]);
    const { results } = await agent.want(Object.fromEntries([["__proto__", 5]]));
    expect(results).toMatchObject([{ property: "__proto__", value: 5 }]);
  });
});

describe("the agent's own component", () => {
  test("a setting is applied at each start, and acknowledged as a part of the component", async () => {
    const agent = new Agent();
    const properties = { latebind: { __t: "c", logLevel: "debug" } };
    const { results } = await agent.want(properties);
    expect(results).toMatchObject([{ component: "latebind", property: "logLevel", value: "debug" }]);
    agent.appliers = agent.withProperties([]);
    await agent.want(properties);
    expect(agent.levels).toEqual(["debug", "debug"]);
    expect(agent.memoryWrites).toBe(0);
  });

  test("an unknown setting is rejected with the known ones", async () => {
    const { results } = await new Agent().want({ latebind: { __t: "c", loglevel: "debug" } });
    expect(results).toMatchObject([
      {
        component: "latebind",
        property: "loglevel",
        outcome: {
          status: "rejected",
          problems: ["latebind has no such setting; known: logLevel, heartbeat, keepAlive"],
        },
      },
    ]);
  });

  test("a flood of unknown settings is answered sixteen times and counted", async () => {
    const flood = Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`s${index}`, 1]));
    const { results, ignored } = await new Agent().want({ latebind: flood });
    expect(results).toHaveLength(16);
    expect(ignored).toHaveLength(984);
  });

  test.each([[5], [["logLevel"]], ["debug"]])("a component that is %j is ignored", async (section) => {
    const { results, ignored } = await new Agent().want({ latebind: section });
    expect([results, ignored]).toEqual([[], ["latebind"]]);
  });

  test("beside a bad value the last good one stays in force, after a restart too", async () => {
    const agent = new Agent();
    await agent.want({ latebind: { logLevel: "debug" } });
    agent.appliers = agent.withProperties([]);
    const { results } = await agent.want({ latebind: { logLevel: "loud" } });
    expect(results).toMatchObject([{ outcome: { status: "rejected" }, value: "debug" }]);
    expect(agent.levels).toEqual(["debug", "debug"]);
  });

  test("a setting that goes away falls back to the local configuration", async () => {
    const agent = new Agent();
    await agent.want({ latebind: { logLevel: "debug" } });
    await agent.want({});
    expect(agent.levels).toEqual(["debug", undefined]);
  });
});

describe("an abort", () => {
  test("before the first property leaves everything as it was", async () => {
    const agent = new Agent();
    await agent.want({ a: 1 });
    const { memory } = agent;
    const reconciled = await agent.want({ a: 2 }, AbortSignal.abort());
    expect(reconciled).toMatchObject({ isComplete: false, results: [] });
    expect(agent.memory).toEqual(memory);
  });

  test("between two properties keeps what is done and leaves the rest", async () => {
    const agent = new Agent();
    const controller = new AbortController();
    const last = agent.device.createApplier("a");
    const stopping: Applier = {
      ...last,
      execute: async (_, signal) => {
        signal.throwIfAborted();
        controller.abort();
        return { status: "applied", changed: ["a"] };
      },
    };
    agent.appliers = agent.withAppliers(
      new Map([
        ["a", stopping],
        ["b", agent.device.createApplier("b")],
      ]),
    );
    const reconciled = await agent.want({ a: 1, b: 1 }, controller.signal);
    expect(reconciled).toMatchObject({ isComplete: false, results: [{ property: "a", value: 1 }] });
    expect(agent.device.executions).toEqual([]);
  });

  test("half-way is remembered as unfinished, and the property is applied at the next chance", async () => {
    const agent = new Agent();
    await agent.want({ a: 1 });
    const { appliers } = agent;
    const controller = new AbortController();
    const stopped: Applier = {
      ...agent.device.createApplier("a"),
      execute: async () => {
        controller.abort(new Error("stop"));
        throw new Error("because of the signal");
      },
    };
    agent.appliers = agent.withAppliers(new Map([["a", stopped]]));
    const reconciled = await agent.want({ a: 2 }, controller.signal);
    expect(reconciled).toMatchObject({ isComplete: false, results: [] });
    agent.appliers = appliers;
    // Back to the old value: the memory must not say that it is in force.
    await agent.want({ a: 1 });
    expect(agent.device.executions).toEqual(["a", "a"]);
  });
});

test("a damaged memory forgets the damaged entries only", async () => {
  const agent = new Agent();
  await agent.want({ a: 1, b: 2 });
  const [a, b] = agent.memory;
  expect(parseRemembered([{ ...a, outcome: { status: "great" } }, b, 5, null])).toEqual([b]);
  expect(parseRemembered({ a, b })).toEqual([]);
  expect(parseRemembered(undefined)).toEqual([]);
});
