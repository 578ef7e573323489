import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { BenchCloud } from "./cloud.ts";
import { twinReached, type BenchDevice, type Player } from "./devices.ts";
import { footprint, type Footprint } from "./process-figures.ts";
import { median } from "./statistics.ts";
import type { Row } from "./table.ts";

const players = ["bare", "control", "agent"] as const;
/** V8 collects garbage once more some ten seconds after the last work; that is the end of the start and not idling. */
const settleMs = 12_000;
const idleMs = 30_000;
const allowedMb = 6;
/** Of all threads in half a minute. */
const allowedWakeUps = 2;

interface Idled {
  readonly player: Player;
  readonly before: Footprint;
  readonly after: Footprint;
  readonly stateBefore: string;
  readonly stateAfter: string;
}

/** Leaves all of them connected at the same time, and looks what they weigh and do while nothing happens. */
export async function measureIdle(
  cloud: BenchCloud,
  devices: readonly BenchDevice[],
): Promise<readonly Row[]> {
  // The agent has a change to apply, so that everything it is made of has been used.
  for (const { deviceId } of devices) await cloud.patchDesired(deviceId, { site: { idle: true } });
  const idled = await Promise.all(
    devices.map(async (device, index) => idle(device, players[index % players.length] ?? "agent")),
  );
  const medians = (figure: (each: Idled) => number) => {
    const of = (player: Player) => median(idled.filter((each) => each.player === player).map(figure));
    return { bare: of("bare"), control: of("control"), agent: of("agent") };
  };
  const during = (figure: (at: Footprint) => number) =>
    medians(({ before, after }) => figure(after) - figure(before));
  const touched = idled.filter(
    ({ player, stateBefore, stateAfter }) => player === "agent" && stateBefore !== stateAfter,
  );
  return [
    {
      what: `anonymous memory after that, MB`,
      ...medians(({ after }) => after.anonymousKib / 1024),
      target: { of: "bare", above: allowedMb },
    },
    {
      what: `PSS then, ${devices.length} processes sharing, MB`,
      ...medians(({ after }) => after.pssKib / 1024),
    },
    {
      what: `wake-ups in ${idleMs / 1000} s idle, all threads`,
      ...during(({ wakeUps }) => wakeUps),
      target: { atMost: allowedWakeUps },
    },
    { what: "write calls meanwhile", ...during(({ writeCalls }) => writeCalls), target: { atMost: 0 } },
    { what: "bytes written meanwhile", ...during(({ writtenBytes }) => writtenBytes), target: { atMost: 0 } },
    { what: "state directories that changed meanwhile", agent: touched.length, target: { atMost: 0 } },
  ];
}

async function idle(device: BenchDevice, player: Player): Promise<Idled> {
  await using process = device.play(player);
  await process.said(twinReached[player]);
  await sleep(settleMs);
  const before = await footprint(process.pid);
  const stateBefore = await describeFolder(device.stateDirectory);
  await sleep(idleMs);
  const after = await footprint(process.pid);
  return { player, before, after, stateBefore, stateAfter: await describeFolder(device.stateDirectory) };
}

/** Every file with its inode and times: any write or rename shows. */
async function describeFolder(folder: string): Promise<string> {
  const names = [".", ...(await readdir(folder))];
  const files = names.map(async (name) => {
    const { ino, mtimeMs, ctimeMs, size } = await stat(join(folder, name));
    return [name, ino, mtimeMs, ctimeMs, size];
  });
  return JSON.stringify(await Promise.all(files));
}
