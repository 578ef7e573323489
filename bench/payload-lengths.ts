import type { BenchDevice } from "./devices.ts";
import type { Row } from "./table.ts";

/** A heap that is swept page by page moves by 1.5 MB from run to run; a pool of 64 KiB kept for each length is 160 MB. */
const allowedMb = 2;

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
