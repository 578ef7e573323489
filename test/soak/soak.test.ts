import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { setTimeout as realTime } from "node:timers/promises";
import { expect, test } from "vitest";
import { Gateway } from "../agent/gateway.ts";
import { startCloud } from "../cloud/cloud.ts";
import { ManualClock } from "../manual-clock.ts";
import { SmallDisk, whyNoMount } from "../platform/small-disk.ts";
import { faultTroubles } from "./fault-troubles.ts";
import { liveThrough } from "./live-through.ts";
import type { Trouble } from "./trouble.ts";
import { cloudTroubles, machineTroubles, operatorTroubles } from "./world-troubles.ts";

/*
 * An agent on a simulated clock lives through seeded trouble of every kind at every layer, with real sockets, files and TLS; in the end it
 * is always connected, as it should be, and leaves nothing behind. `npm run soak` makes it an hour; SOAK_SEED=… repeats one.
 */

const isFull = process.env["SOAK"] === "full";
const seed = process.env["SOAK_SEED"] ?? randomBytes(4).toString("hex");
const length = isFull
  ? { durationMs: 60 * 60_000, speed: 20, timeoutMs: 900_000 }
  : { durationMs: 12 * 60_000, speed: 40, timeoutMs: 180_000 };
if (whyNoMount !== undefined) console.log(`skipped: disks in trouble: ${whyNoMount}`);

test(
  "whatever happens for an hour, the agent ends connected and converged, and leaves nothing behind",
  async () => {
    console.log(`to repeat this: SOAK_SEED=${seed}`);
    await using cloud = await startCloud({ assigningAnswers: 1, pollAfterSeconds: 0, faultSeed: seed });
    cloud.levers.setPace({ pollsPer10Seconds: 1000 });
    const clock = new ManualClock();
    await using gateway = new Gateway(cloud, {
      clock,
      more: 'command = ["/bin/true"]',
      isClockSynchronised: true,
    });
    using disk = whyNoMount === undefined ? new SmallDisk(gateway.stateDirectory) : undefined;
    const { registrationId, key: primaryKey } = gateway;
    cloud.levers.enrollments.put({ registrationId, primaryKey, hub: "test" });
    const before = footprint();

    await gateway.start();
    const jumps: Trouble = {
      name: "the clock is set",
      layer: "machine",
      strike: ({ random }) => {
        const byMs = Math.round((random() - 0.5) * 40 * 60_000);
        clock.jump(byMs);
        gateway.inputs.tell({ kind: "clock-changed" });
        return () => {
          clock.jump(-byMs);
          gateway.inputs.tell({ kind: "clock-changed" });
        };
      },
    };
    const troubles = [
      ...faultTroubles,
      ...cloudTroubles,
      ...operatorTroubles,
      ...machineTroubles(disk),
      jumps,
    ];
    const chosen = troubles.filter(({ isSlow }) => isFull || isSlow !== true);
    const lived = await liveThrough({ ...length, seed, cloud, gateway, clock, troubles: chosen });
    await gateway.stop();

    const strikes = Object.entries(lived.strikes).map(([layer, count]) => `${layer} ${count}`);
    const struck = cloud.journal.events().filter(({ kind }) => kind === "fault").length;
    console.log(
      `${length.durationMs / 60_000} simulated minutes: ${strikes.join(", ")}; ${lived.names.size} of ${chosen.length} kinds; ` +
        `${struck} faults on the wire; ${gateway.events("hub.connected").length} sessions, ` +
        `${cloud.journal.events().filter(({ kind }) => kind === "register").length} registrations; ` +
        `back ${Math.round(lived.recoveredInMs / 1000)} simulated seconds after the last mending`,
    );
    expect(Object.values(lived.strikes).every((count) => count > 0)).toBe(true);
    expect(gateway.events("agent.bug")).toEqual([]);
    expect(clock.sleeping).toBe(0);
    expect(await excess(before)).toEqual([]);
    expect(leftovers(gateway)).toEqual([]);
  },
  length.timeoutMs,
);

interface Footprint {
  readonly timers: number;
  readonly children: number;
  readonly descriptors: number;
}

/** What keeps this process alive, without the cloud's own listeners and connections, which come and go. */
function footprint(): Footprint {
  const resources = process.getActiveResourcesInfo();
  const count = (name: string) => resources.filter((resource) => resource === name).length;
  return {
    timers: count("Timeout"),
    children: count("ProcessWrap"),
    descriptors: readdirSync("/proc/self/fd").length,
  };
}

/** What is more than before, once the cloud has closed its side of the last connection. */
async function excess(before: Footprint): Promise<readonly string[]> {
  for (let tries = 0; ; tries += 1) {
    const now = footprint();
    const kinds = ["timers", "children", "descriptors"] as const;
    const more = kinds.filter((kind) => now[kind] > before[kind]);
    if (more.length === 0 || tries === 100)
      return more.map((kind) => `${kind}: ${before[kind]} -> ${now[kind]}`);
    await realTime(100);
  }
}

/** Temporary and damaged files. */
function leftovers(gateway: Gateway): readonly string[] {
  return readdirSync(gateway.stateDirectory).filter((name) => /tmp|damaged/.test(name));
}
