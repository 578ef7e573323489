import { untilAborted } from "../platform/abort.ts";
import { Alarm } from "./alarm.ts";
import type { Device } from "./device.ts";
import type { Parts } from "./parts.ts";

/**
 * Undoes changes after which the hub is not reached again in time, whatever the journey is doing meanwhile, and tells it that another way may
 * lead out now. Costs no timer while nothing is on trial.
 * @throws the signal's reason.
 */
export async function guardChanges(
  device: Device,
  { clock, inputs }: Pick<Parts, "clock" | "inputs">,
  signal: AbortSignal,
): Promise<never> {
  for (;;) {
    const dueInMs = device.trialDueInMs();
    using due = dueInMs === Infinity ? undefined : new Alarm(clock, dueInMs);
    try {
      await untilAborted(device.trialsChanged(), signal, ...(due === undefined ? [] : [due.signal]));
    } catch (error) {
      if (due?.signal.aborted !== true || signal.aborted) throw error;
      const undone = await device.rollBackDue(signal);
      if (undone > 0) inputs.tell({ kind: "network-changed", because: "a change was rolled back" });
    }
  }
}
