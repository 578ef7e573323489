import type { BenchCloud } from "./cloud.ts";
import { acknowledged, twinReached, type BenchDevice, type Player } from "./devices.ts";
import { cpuMs } from "./process-figures.ts";
import { median } from "./statistics.ts";
import type { Row } from "./table.ts";

const runs = 15;
const allowedFactor = 1.15;

interface Start {
  readonly twinMs: number;
  readonly cpuMs: number;
}

/**
 * From the start of the process to the twin. The agent knows its hub, finds a change that was made while it was away, and has
 * written it to the file. They take turns, so that whatever else the machine does hits them all.
 */
export async function measureStartUp(cloud: BenchCloud, device: BenchDevice): Promise<readonly Row[]> {
  const starts: Record<Player, Start[]> = { bare: [], control: [], agent: [] };
  for (let run = 0; run < runs; run += 1) {
    await cloud.patchDesired(device.deviceId, { site: { run } });
    for (const player of ["bare", "control", "agent"] as const) {
      starts[player].push(await start(device, player));
    }
  }
  const medians = (figure: (start: Start) => number) => ({
    bare: median(starts.bare.map(figure)),
    control: median(starts.control.map(figure)),
    agent: median(starts.agent.map(figure)),
  });
  return [
    {
      what: `start to twin, ms, median of ${runs}`,
      ...medians(({ twinMs }) => twinMs),
      target: { of: "control", factor: allowedFactor },
    },
    { what: "  processor time until then, ms", ...medians((each) => each.cpuMs) },
  ];
}

/** From the start of the process to the acknowledged twin where nothing is known yet: key, DPS, hub, twin. */
export async function measureColdStart(devices: readonly BenchDevice[]): Promise<readonly Row[]> {
  const starts: number[] = [];
  for (const device of devices) {
    await using agent = device.play("agent", "info");
    await agent.said(twinReached.agent);
    starts.push((await agent.said(acknowledged.agent)) - agent.startedAtMs);
  }
  return [
    { what: `start to acknowledged through DPS, ms, median of ${starts.length}`, agent: median(starts) },
  ];
}

async function start(device: BenchDevice, player: Player): Promise<Start> {
  await using process = device.play(player);
  const twinMs = (await process.said(twinReached[player])) - process.startedAtMs;
  return { twinMs, cpuMs: await cpuMs(process.pid) };
}
