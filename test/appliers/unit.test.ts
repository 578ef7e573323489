import { describe, expect, onTestFinished, test } from "vitest";
import type { Applier } from "../../src/appliers/applier.ts";
import { createUnitApplier } from "../../src/appliers/unit.ts";
import type { Json } from "../../src/platform/json.ts";
import { apply, describeApplierContract, plan } from "../contract/applier.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";
import { FakeSystemctl } from "./fake-systemctl.ts";

const never = new AbortController().signal;

function machine(): { readonly systemd: FakeSystemctl; readonly applier: Applier } {
  const folder = new TemporaryFolder();
  onTestFinished(() => folder[Symbol.dispose]());
  const systemd = new FakeSystemctl(folder);
  systemd.put("app.service", "disabled", "inactive");
  systemd.put("app.timer", "enabled", "active");
  systemd.put("static.service", "static", "inactive");
  systemd.put("broken.service", "disabled", "failed");
  const units = ["app.service", "app.timer", "static.service", "broken.service", "gone.service"];
  const shared = { after: [], mend: false, privileged: true, timeoutMs: 10_000 };
  const rule = { property: "units", kind: "units", units, ...shared } as const;
  return { systemd, applier: createUnitApplier(rule, systemd.file) };
}

describe("units", () => {
  describeApplierContract(async () => {
    const { systemd, applier } = machine();
    return {
      create: () => applier,
      legal: [
        [{ unit: "app.service", enabled: true, started: true }],
        [{ unit: "app.service", enabled: true, started: false }],
      ],
      illegal: [
        1,
        {},
        "app.service",
        ["app.service"],
        [{ started: true }],
        [{ unit: "sshd.service", started: false }],
        [{ unit: "app.service", run: 1 }],
        [{ unit: "app.service" }, { unit: "app.service", started: true }],
      ],
      observe: async () => systemd.state("app.service"),
    };
  });

  test("only those of the local list may be named, and each problem is told with its path", async () => {
    const { applier } = machine();
    const units = ["sshd.service", "--now", "../app.service", "__proto__"].map((unit) => ({ unit }));
    const value = [...units, { unit: "app.timer", enabled: "yes" }];
    const known =
      "not in the local list; known: app.service, app.timer, static.service, broken.service, gone.service";
    expect(await applier.parse(value)).toEqual({
      status: "rejected",
      problems: [
        `units[0].unit: ${known}`,
        `units[1].unit: ${known}`,
        `units[2].unit: ${known}`,
        `units[3].unit: ${known}`,
        "units[4]: expected unit, and of enabled, started (true or false) and restart (a text) what matters",
      ],
    });
  });

  test("are asked for what differs and nothing else", async () => {
    const { systemd, applier } = machine();
    const wanted = [
      { unit: "app.service", enabled: true, started: true },
      { unit: "app.timer", enabled: true, started: true },
    ];
    expect(await apply(applier, wanted)).toEqual({
      status: "applied",
      changed: ["enable app.service", "start app.service"],
    });
    expect(await apply(applier, wanted)).toEqual({ status: "unchanged" });
    expect(systemd.asked).toEqual(["enable app.service", "start app.service"]);
  });

  test("are restarted when the text changes, not when it stays, and not when they are stopped", async () => {
    const { systemd, applier } = machine();
    const version = 1;
    const one = [
      { unit: "app.timer", restart: "one" },
      { unit: "app.service", restart: "one" },
    ];
    await apply(applier, one, { version });
    await apply(applier, one, { version, previous: one });
    await apply(applier, [{ unit: "app.timer", restart: "two" }], { version, previous: one });
    expect(systemd.asked).toEqual(["restart app.timer", "restart app.timer"]);
  });

  test("are not restarted just after they were started", async () => {
    const { systemd, applier } = machine();
    await apply(applier, [{ unit: "app.service", started: true, restart: "one" }]);
    expect(systemd.asked).toEqual(["start app.service"]);
  });

  test("that cannot be enabled are let be", async () => {
    const { systemd, applier } = machine();
    expect(await apply(applier, [{ unit: "static.service", enabled: true }])).toEqual({
      status: "unchanged",
    });
    expect(systemd.asked).toEqual([]);
  });

  test.each<[Json, string, string, readonly string[]]>([
    [[{ unit: "gone.service", started: true }], "appliers/unit-missing", "there is no unit gone.service", []],
    [
      [
        { unit: "app.service", enabled: true },
        { unit: "broken.service", started: true },
      ],
      "appliers/unit-failed",
      "systemctl start -- broken.service exited with 1: Job for broken.service failed.",
      ["enable app.service"],
    ],
  ])("%j fails", async (wanted, code, message, changed) => {
    expect(await apply(machine().applier, wanted)).toEqual({ status: "failed", code, message, changed });
  });

  test("that somebody else stopped are found", async () => {
    const { systemd, applier } = machine();
    const wanted = [{ unit: "app.service", enabled: true, started: true }];
    await apply(applier, wanted);
    const steps = await plan(applier, wanted);
    expect(await applier.findDrift?.(steps, never)).toEqual([]);
    systemd.put("app.service", "disabled", "failed");
    expect(await applier.findDrift?.(steps, never)).toEqual([
      "app.service is disabled",
      "app.service is stopped",
    ]);
  });

  test("become what they were when a change is undone", async () => {
    const { systemd, applier } = machine();
    systemd.put("gone.service", "enabled", "active");
    const kept = await applier.keep?.({ version: 1 }, never);
    if (kept?.status !== "kept") throw new Error("not kept");
    await apply(applier, [
      { unit: "app.service", enabled: true, started: true },
      { unit: "app.timer", started: false },
    ]);
    expect(await applier.restore?.(kept.kept, { version: 1 }, never)).toMatchObject({ status: "applied" });
    expect([systemd.state("app.service"), systemd.state("app.timer")]).toEqual([
      "disabled inactive",
      "enabled active",
    ]);
  });
});
