import { mkdtemp, open, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BenchCloud } from "./cloud.ts";
import { acknowledged, twinReached, type BenchDevice, type Player } from "./devices.ts";
import { median, percentile } from "./statistics.ts";
import type { Row } from "./table.ts";

const patches = 1_000;
const patchesOnDisk = 200;
/** They take turns, so that whatever else the machine does hits them all. */
const turns = 10;
const allowedFactor = 2;
/** The file itself, and two notes in the agent's state before it is touched: what is wanted, and that it is under way. */
const durableWritesOfFile = 3;

/** What is changed: a setting of the agent, which it keeps in memory, or what becomes a file. */
type Wish = (patch: number) => Readonly<Record<string, unknown>>;
const setting: Wish = (patch) => ({ latebind: { __t: "c", logLevel: patch % 2 === 0 ? "info" : "debug" } });
const file: Wish = (patch) => ({ site: { patch } });

/**
 * From a desired change at the cloud to the word that the hub has the answer, one after the other. The agent has noted the change in
 * its state in between, and made the file durable; the controls only send the change back.
 * @param device in memory, where no disk is measured.
 * @param onDisk another one, whose files are on a disk.
 */
export async function measurePatches(
  cloud: BenchCloud,
  device: BenchDevice,
  onDisk: BenchDevice,
): Promise<readonly Row[]> {
  const took: Record<Player | "file", number[]> = { bare: [], control: [], agent: [], file: [] };
  for (let turn = 0; turn < turns; turn += 1) {
    for (const player of ["bare", "control", "agent"] as const) {
      took[player].push(...(await follow(cloud, device, player, setting, patches / turns)));
    }
    took.file.push(...(await follow(cloud, device, "agent", file, patches / turns)));
  }
  const row = (what: string, agent: readonly number[], share: number): Row => ({
    what: `${what} to acknowledged, ms, p${share * 100} of ${patches}`,
    bare: percentile(took.bare, share),
    control: percentile(took.control, share),
    agent: percentile(agent, share),
  });
  return [
    { ...row("setting changed", took.agent, 0.5), target: { of: "bare", factor: allowedFactor } },
    row("setting changed", took.agent, 0.99),
    row("file changed", took.file, 0.5),
    row("file changed", took.file, 0.99),
    ...(await measureOnDisk(cloud, onDisk)),
  ];
}

/** What a power cut must not undo has its price, which is the disk's. */
async function measureOnDisk(cloud: BenchCloud, device: BenchDevice): Promise<readonly Row[]> {
  await introduce(device);
  const settings: number[] = [];
  const files: number[] = [];
  const writes: number[] = [];
  for (let turn = 0; turn < turns; turn += 1) {
    settings.push(...(await follow(cloud, device, "agent", setting, patchesOnDisk / turns)));
    files.push(...(await follow(cloud, device, "agent", file, patchesOnDisk / turns)));
    writes.push(...(await writeDurably(patchesOnDisk / turns)));
  }
  const writeMs = median(writes);
  return [
    { what: `on a disk: a file that is made durable, ms, median of ${patchesOnDisk}`, agent: writeMs },
    { what: "on a disk: setting changed to acknowledged, ms", agent: median(settings) },
    {
      what: `on a disk: what a file adds to that, ${durableWritesOfFile} such writes, ms`,
      agent: median(files) - median(settings),
      target: { atMost: durableWritesOfFile * writeMs },
    },
  ];
}

/** The hub knows a device only once DPS has sent it there. */
async function introduce(device: BenchDevice): Promise<void> {
  await using agent = device.play("agent", "info");
  await agent.said(acknowledged.agent);
}

async function follow(
  cloud: BenchCloud,
  device: BenchDevice,
  player: Player,
  wish: Wish,
  count: number,
): Promise<readonly number[]> {
  // A change to apply at the start, so that all of them are seen to be there.
  await cloud.patchDesired(device.deviceId, {
    site: { before: player, at: performance.now() },
    latebind: null,
  });
  await using process = device.play(player, "info");
  await process.said(twinReached[player]);
  if (player === "agent") await process.said(acknowledged[player]);
  const tookMs: number[] = [];
  for (let patch = 0; patch < count; patch += 1) {
    const sentAtMs = performance.now();
    const said = process.said(acknowledged[player]);
    await cloud.patchDesired(device.deviceId, wish(patch));
    tookMs.push((await said) - sentAtMs);
  }
  return tookMs;
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
