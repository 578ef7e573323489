import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundleFile } from "../../packaging/bundle-file.ts";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";
import { Mover } from "./mover.ts";

/*
 * kill -9 just before every step with which a move from one hub to the next touches a file, the network or a child process. The steps are
 * counted under the agent, so this is the shipped bundle, unchanged; only its waits are shortened.
 */

/** Each fifth step, from a random one on, where time is short; `npm run soak` takes them all. */
const stride = process.env["SOAK"] === "full" ? 1 : 5;
const folder = new TemporaryFolder();
const program = folder.join("latebind.cjs");
let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ assigningAnswers: 1, pollAfterSeconds: 0 });
  // A device that is moved every second polls more than DPS likes.
  cloud.levers.setPace({ pollsPer10Seconds: 1000 });
  await bundleFile(join(import.meta.dirname, "../../src/main.ts"), program);
});

afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

test("a kill at every step of a move to another hub: the next start is at home there, with nothing lost", async () => {
  let next = 1 + Math.floor(Math.random() * stride);
  let last = Infinity;
  const killedBefore = new Map<string, number>();
  const startedAt = performance.now();
  const sweep = async () => {
    await using mover = new Mover(cloud, program);
    await mover.settle();
    while (next <= last) {
      const killAt = next;
      next += stride;
      const outcome = await mover.moveKilledAt(killAt);
      if (outcome === "arrived") last = Math.min(last, killAt);
      else if (existsSync(mover.stepsFile)) {
        const kind = readFileSync(mover.stepsFile, "utf8").trimEnd().split("\n").at(-1)?.split(" ")[0] ?? "";
        killedBefore.set(kind, (killedBefore.get(kind) ?? 0) + 1);
      }
    }
  };
  await Promise.all([sweep(), sweep(), sweep()]);
  const kills = [...killedBefore.values()].reduce((sum, count) => sum + count, 0);
  const kinds = [...killedBefore].map(([kind, count]) => `${kind} ${count}`).join(", ");
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  console.log(`killed at ${kills} steps (${kinds}), connected again after ${kills}: 100 %, in ${seconds} s`);
  // Fewer would mean that the steps are no longer seen.
  expect(kills * stride).toBeGreaterThan(60);
  for (const kind of stride > 1 ? [] : ["connect", "_writev", "emit", "renameSync", "writeSync", "spawn"])
    expect(killedBefore.has(kind)).toBe(true);
}, 600_000);
