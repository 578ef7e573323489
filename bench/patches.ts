import { mkdtemp, open, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BenchCloud } from "./cloud.ts";
import type { Contestant } from "./contestant.ts";
import { acknowledged, twinReached, type BenchDevice, type Player } from "./devices.ts";
import { median, percentile } from "./statistics.ts";
import type { Row } from "./table.ts";

const patches = 1_000;
const patchesOnDisk = 200;
/** They take turns, so that whatever else the machine does hits them all. */
const turns = 10;
const allowedFactor = 2;
/** What is changed: a setting of the agent, which it keeps in memory, or what becomes a file. */
type Wish = (patch: number) => Readonly<Record<string, unknown>>;
const setting: Wish = (patch) => ({ latebind: { __t: "c", logLevel: patch % 2 === 0 ? "info" : "notice" } });
const file: Wish = (patch) => ({ site: { patch } });

/**
 * From a desired change at the cloud to the answer that the hub has taken, both seen there, one after the other. The agent has noted the change in
 * its state in between, and made the file durable; the controls only send the change back.
 * @param devices in memory, where no disk is measured: one for each player, all known to the hub.
 * @param onDisk another one, whose files are on a disk.
 */
export async function measurePatches(
  cloud: BenchCloud,
  devices: readonly BenchDevice[],
  onDisk: BenchDevice,
): Promise<readonly Row[]> {
  await using contest = new AsyncDisposableStack();
  const open = async (player: Player, index: number) => {
    const device = devices[index];
    if (device === undefined) throw new Error("too few devices");
    return contest.use(await Follower.start(cloud, device, player));
  };
  const bare = await open("bare", 0);
  const control = await open("control", 1);
  const agent = await open("agent", 2);
  const took: Record<"bare" | "control" | "setting" | "file", number[]> = {
    bare: [],
    control: [],
    setting: [],
    file: [],
  };
  for (let turn = 0; turn < turns; turn += 1) {
    took.bare.push(...(await bare.follow(setting, patches / turns)));
    took.control.push(...(await control.follow(setting, patches / turns)));
    took.setting.push(...(await agent.follow(setting, patches / turns)));
    took.file.push(...(await agent.follow(file, patches / turns)));
  }
  const row = (what: string, agentTook: readonly number[], share: number): Row => ({
    what: `${what} to acknowledged, ms, p${share * 100} of ${patches}`,
    bare: percentile(took.bare, share),
    control: percentile(took.control, share),
    agent: percentile(agentTook, share),
  });
  return [
    { ...row("setting changed", took.setting, 0.5), target: { of: "bare", factor: allowedFactor } },
    row("setting changed", took.setting, 0.99),
    row("file changed", took.file, 0.5),
    row("file changed", took.file, 0.99),
    ...(await measureOnDisk(cloud, onDisk)),
  ];
}

/**
 * What a power cut must not undo has its price, which is the disk's: for a file it is the file, and three notes in the agent's state (what
 * is wanted, that it is under way, that it is done). Who else writes to the disk is part of the figure: no target.
 */
async function measureOnDisk(cloud: BenchCloud, device: BenchDevice): Promise<readonly Row[]> {
  await introduce(device);
  await using agent = await Follower.start(cloud, device, "agent");
  const settings: number[] = [];
  const files: number[] = [];
  const writes: number[] = [];
  for (let turn = 0; turn < turns; turn += 1) {
    settings.push(...(await agent.follow(setting, patchesOnDisk / turns)));
    files.push(...(await agent.follow(file, patchesOnDisk / turns)));
    writes.push(...(await writeDurably(patchesOnDisk / turns)));
  }
  return [
    {
      what: `on a disk: a file made durable by itself, ms, median of ${patchesOnDisk}`,
      agent: median(writes),
    },
    { what: "on a disk: setting changed to acknowledged, ms", agent: median(settings) },
    { what: "on a disk: file changed to acknowledged, ms", agent: median(files) },
  ];
}

/** The hub knows a device only once DPS has sent it there. */
async function introduce(device: BenchDevice): Promise<void> {
  await using agent = device.play("agent", "info");
  await agent.said(acknowledged.agent);
}

/** A player that follows its twin. */
class Follower implements AsyncDisposable {
  readonly #cloud: BenchCloud;
  readonly #device: BenchDevice;
  readonly #process: Contestant;
  #patches = 0;

  private constructor(cloud: BenchCloud, device: BenchDevice, process: Contestant) {
    this.#cloud = cloud;
    this.#device = device;
    this.#process = process;
  }

  static async start(cloud: BenchCloud, device: BenchDevice, player: Player): Promise<Follower> {
    // A change to apply at the start, so that all of them are seen to be there.
    const first = { site: { before: player, at: performance.now() }, latebind: null };
    await cloud.patchDesired(device.deviceId, first);
    // The agent acknowledges what it has applied; the controls only what comes after the start.
    const reported = player === "agent" ? cloud.reported(device.deviceId) : undefined;
    const process = device.play(player);
    await process.said(twinReached[player]);
    await reported;
    return new Follower(cloud, device, process);
  }

  /** @returns how long each of so many changes took, milliseconds. */
  async follow(wish: Wish, count: number): Promise<readonly number[]> {
    const tookMs: number[] = [];
    for (const end = this.#patches + count; this.#patches < end; this.#patches += 1) {
      const sentAtMs = performance.now();
      const reported = this.#cloud.reported(this.#device.deviceId);
      await this.#cloud.patchDesired(this.#device.deviceId, wish(this.#patches));
      await reported;
      tookMs.push(performance.now() - sentAtMs);
    }
    return tookMs;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }
}

/** What any program pays for a small file that survives a power cut: new file, fsync, rename, fsync of the folder. */
async function writeDurably(count: number): Promise<readonly number[]> {
  const folder = await mkdtemp(join(tmpdir(), "latebind-bench-"));
  const path = join(folder, "durable");
  const tookMs: number[] = [];
  for (let round = 0; round < count; round += 1) {
    const startedAt = performance.now();
    const handle = await open(`${path}.new`, "w", 0o600);
    await handle.writeFile(JSON.stringify({ patch: round }));
    await handle.sync();
    await handle.close();
    await rename(`${path}.new`, path);
    const directory = await open(folder);
    await directory.sync();
    await directory.close();
    tookMs.push(performance.now() - startedAt);
  }
  await rm(folder, { recursive: true });
  return tookMs;
}
