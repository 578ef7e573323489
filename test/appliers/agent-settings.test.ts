import { describe, expect, test } from "vitest";
import { createAgentSettings } from "../../src/appliers/agent-settings.ts";
import type { Applier } from "../../src/appliers/applier.ts";
import type { LogLevel } from "../../src/platform/log.ts";
import { apply, describeApplierContract } from "../contract/applier.ts";

function createLevel(): { readonly set: (LogLevel | undefined)[]; readonly create: () => Applier } {
  const set: (LogLevel | undefined)[] = [];
  return {
    set,
    create: () => {
      const applier = createAgentSettings({ setLogLevel: (level) => set.push(level) }).get("logLevel");
      if (applier === undefined) throw new Error("no applier for logLevel");
      return applier;
    },
  };
}

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
