import type { Line } from "../mqtt/line.ts";
import type { NetworkEvent } from "../platform/network-watch.ts";
import type { Parts } from "./parts.ts";

/** A network that is back is back for many devices: the reconnect is drawn from this time. */
const spreadMs = 5_000;

/**
 * Draws the consequences of another network, or of a sleep: attempts over the old one are given up, open lines are asked whether
 * they are still there, and the journey's wait ends where nothing is connected.
 */
export async function heedNetwork(
  { kind, because }: NetworkEvent,
  line: Pick<Line, "abandon" | "probe" | "isBusy">,
  { clock, random, log, inputs }: Pick<Parts, "clock" | "random" | "log" | "inputs">,
  signal: AbortSignal,
): Promise<void> {
  log.notice(kind === "resumed" ? "agent.resumed" : "network.changed", { because });
  line.abandon(because);
  if (await line.probe(signal)) return;
  await clock.sleep(spreadMs * random(), signal);
  // The journey was faster, or is at it.
  if (!line.isBusy) inputs.tell({ kind, because });
}
