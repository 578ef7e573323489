import type { BenchDevice } from "./devices.ts";
import type { Row } from "./table.ts";

/** What a heap that is swept page by page moves up and down by itself. Each length kept with a pool of 64 KiB is far beyond. */
const allowedMb = 1;

/**
 * Growth of anonymous memory over 4,000 different payload lengths: the mqtt package keeps a buffer for each length of packet.
 * The control is the same link as the package comes, and with Node's buffer pool left on.
 */
export async function measurePayloadLengths(device: BenchDevice): Promise<readonly Row[]> {
  const control = await grownMb(device, "control");
  const agent = await grownMb(device, "agent");
  return [{ what: "growth over 4,000 payload lengths, MB", control, agent, target: { atMost: allowedMb } }];
}

async function grownMb(device: BenchDevice, player: "control" | "agent"): Promise<number> {
  await using process = device.publishLengths(player);
  const line = await process.heard("grew by ");
  return Number(/grew by (-?\d+) KiB/.exec(line)?.[1]) / 1024;
}
