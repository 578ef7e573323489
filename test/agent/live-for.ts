import { setImmediate } from "node:timers/promises";
import type { ManualClock } from "../manual-clock.ts";
import type { Gateway } from "./gateway.ts";

/** Jumps from one wake-up of the agent to the next until the simulated time is over; returns the waits of its back-off. */
export async function liveFor(ms: number, gateway: Gateway, clock: ManualClock): Promise<readonly number[]> {
  const until = clock.monotonic() + ms;
  const waits: number[] = [];
  for (;;) {
    const isWaiting = () => ["waiting", "holding", "connected"].includes(gateway.health.at(-1)?.at ?? "");
    await gateway.until(isWaiting, "the agent waits for its next attempt");
    await clock.someoneSleeps();
    const before = gateway.health.length;
    const wait = clock.nextIn() ?? 0;
    if (clock.monotonic() + wait > until) break;
    if (wait === 0) {
      // Nothing to wait for: only somebody who lets the others have their turn.
      clock.advance(0);
      await setImmediate();
      continue;
    }
    waits.push(wait);
    clock.advance(wait);
    await gateway.until(() => gateway.health.length > before, "the attempt was made");
  }
  clock.advance(until - clock.monotonic());
  return waits;
}
