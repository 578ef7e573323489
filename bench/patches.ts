import type { BenchCloud } from "./cloud.ts";
import { acknowledged, twinReached, type BenchDevice, type Player } from "./devices.ts";
import { percentile } from "./statistics.ts";
import type { Row } from "./table.ts";

const patches = 300;

/**
 * From a desired change at the cloud to the word that the hub has the answer. The agent has made the file durable in between
 * and noted it in its state; the controls only send the change back.
 */
export async function measurePatches(cloud: BenchCloud, device: BenchDevice): Promise<readonly Row[]> {
  const bare = await follow(cloud, device, "bare");
  const control = await follow(cloud, device, "control");
  const agent = await follow(cloud, device, "agent");
  return [0.5, 0.99].map((share) => ({
    what: `desired change to acknowledged, ms, p${share * 100} of ${patches}`,
    bare: percentile(bare, share),
    control: percentile(control, share),
    agent: percentile(agent, share),
  }));
}

async function follow(cloud: BenchCloud, device: BenchDevice, player: Player): Promise<readonly number[]> {
  await cloud.patchDesired(device.deviceId, { site: { before: player } });
  await using process = device.play(player, "info");
  await process.said(twinReached[player]);
  if (player === "agent") await process.said(acknowledged[player]);
  const tookMs: number[] = [];
  for (let patch = 0; patch < patches; patch += 1) {
    const sentAtMs = performance.now();
    const said = process.said(acknowledged[player]);
    await cloud.patchDesired(device.deviceId, { site: { patch } });
    tookMs.push((await said) - sentAtMs);
  }
  return tookMs;
}
