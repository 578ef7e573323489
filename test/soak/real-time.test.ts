import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as realTime } from "node:timers/promises";
import { expect, test } from "vitest";
import { AgentProcess } from "../agent/agent-process.ts";
import { Gateway } from "../agent/gateway.ts";
import { startCloud } from "../cloud/cloud.ts";
import { createRandom } from "../cloud/fault-random.ts";
import { SmallDisk, whyNoMount } from "../platform/small-disk.ts";
import { faultTroubles } from "./fault-troubles.ts";
import { liveThrough } from "./live-through.ts";
import { cloudTroubles, machineTroubles } from "./world-troubles.ts";

/* The program as a process of its own lives through ten minutes of trouble in real time; what it holds is read from inside it. */

const isFull = process.env["SOAK"] === "full";
const seed = process.env["SOAK_SEED"] ?? randomBytes(4).toString("hex");
const minutes = Number(process.env["SOAK_MINUTES"] ?? 10);
if (!isFull) console.log("skipped: ten minutes in real time: npm run soak takes that long");

interface Held {
  readonly heapUsed: number;
  readonly rss: number;
  readonly descriptors: number;
  readonly held: Readonly<Record<string, number>>;
}

/** An agent that can be asked what it holds. */
class Resident implements AsyncDisposable {
  readonly agent: AgentProcess;
  readonly #file: string;

  constructor(gateway: Gateway) {
    this.#file = join(gateway.folder, "resources.json");
    this.agent = new AgentProcess(gateway, {
      NODE_OPTIONS: `--import=${join(import.meta.dirname, "process-telling-resources.ts")}`,
      RESOURCES_FILE: this.#file,
    });
  }

  async held(): Promise<Held> {
    rmSync(this.#file, { force: true });
    this.agent.kill("SIGUSR2");
    while (!existsSync(this.#file)) await realTime(20);
    // eslint-disable-next-line typescript/no-unsafe-type-assertion -- written by process-telling-resources.ts
    return JSON.parse(readFileSync(this.#file, "utf8")) as Held;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
  }
}

test.skipIf(!isFull)(
  "ten minutes of trouble in real time end connected and converged, with a flat heap and nothing left behind",
  async () => {
    console.log(`to repeat this: SOAK_SEED=${seed}`);
    await using cloud = await startCloud({ assigningAnswers: 1, pollAfterSeconds: 0, faultSeed: seed });
    await using gateway = new Gateway(cloud, { more: 'command = ["/bin/true"]' });
    using disk = whyNoMount === undefined ? new SmallDisk(gateway.stateDirectory) : undefined;
    const { registrationId, key: primaryKey } = gateway;
    const initialTwin = { desired: { site: { count: 0 } } };
    cloud.levers.enrollments.put({ registrationId, primaryKey, hub: "test", initialTwin });
    await using resident = new Resident(gateway);
    await resident.agent.logged("report.accepted");
    const atFirst = await resident.held();

    const heaps: number[] = [];
    const watching = new AbortController();
    const watched = watchHeap(resident, heaps, watching.signal);
    // Without what has DPS asked again and again: a day's budget for that is spent in minutes.
    const calm = cloudTroubles.filter(({ name }) => /away|drops/.test(name));
    const troubles = [...faultTroubles, ...calm, ...machineTroubles(disk)];
    const life = { seed, cloud, gateway, troubles, durationMs: minutes * 60_000, speed: 1 };
    // A person who mended something says so; nobody waits for a probe that comes every six hours.
    const random = createRandom(`${seed} operator`);
    const onMended = (isLast: boolean) => {
      if (isLast || random() < 0.3) resident.agent.kill("SIGHUP");
    };
    const lived = await liveThrough({ ...life, isConnected: () => true, onMended });
    watching.abort();
    await watched;
    const atLast = await settled(resident, atFirst);

    const strikes = Object.entries(lived.strikes).map(([layer, count]) => `${layer} ${count}`);
    console.log(
      `${minutes} minutes: ${strikes.join(", ")}; back ${Math.round(lived.recoveredInMs / 1000)} s after the last mending; ` +
        `heap in MB each half minute: ${heaps.map((bytes) => (bytes / 2 ** 20).toFixed(1)).join(" ")}; ` +
        `descriptors ${atFirst.descriptors} -> ${atLast.descriptors}, ` +
        `${JSON.stringify(atFirst.held)} -> ${JSON.stringify(atLast.held)}`,
    );
    expect(atLast.descriptors).toBeLessThanOrEqual(atFirst.descriptors);
    for (const [name, count] of Object.entries(atLast.held))
      expect(`${name} ${Math.max(count, atFirst.held[name] ?? 0)}`).toBe(
        `${name} ${atFirst.held[name] ?? 0}`,
      );
    // Parts that only trouble loads are there after the first minutes; from then on nothing grows.
    const early = Math.max(...heaps.slice(2, Math.ceil(heaps.length / 2)));
    const late = Math.min(...heaps.slice(Math.ceil(heaps.length / 2)));
    expect(late).toBeLessThan(early * 1.05);
    expect(readdirSync(gateway.stateDirectory).filter((name) => /tmp|damaged/.test(name))).toEqual([]);
    expect(resident.agent.lines.filter(({ event }) => event === "agent.bug")).toEqual([]);
  },
  minutes * 60_000 + 900_000,
);

async function watchHeap(resident: Resident, heaps: number[], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await realTime(30_000, undefined, { signal });
    } catch {
      return;
    }
    heaps.push((await resident.held()).heapUsed);
  }
}

/** The last connection that was given up takes a moment to end. */
async function settled(resident: Resident, wanted: Held): Promise<Held> {
  for (let tries = 0; ; tries += 1) {
    const now = await resident.held();
    const isLess = Object.entries(now.held).every(([name, count]) => count <= (wanted.held[name] ?? 0));
    if ((isLess && now.descriptors <= wanted.descriptors) || tries === 60) return now;
    await realTime(1_000);
  }
}
