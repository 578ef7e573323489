import { AgentError } from "../platform/failure.ts";
import type { JsonObject } from "../platform/json.ts";
import { batchUnits, joinUnits, unitsOf, type Unit } from "./units.ts";

export interface Delivered {
  /** What the hub has taken. */
  readonly accepted: readonly Unit[];
  /** What the hub does not take, one by one: sending it again as it is would be of no use. */
  readonly refused: readonly { readonly unit: Unit; readonly error: AgentError }[];
  /** Why the rest was not sent, where something was left. */
  readonly stoppedBy?: AgentError;
}

/** Half of what the hub keeps of reported properties: a patch never comes near its limit for one message. */
const maxBatchBytes = 16 * 1024;

/**
 * Sends a patch in as few messages as its size allows. What is refused as wrong is halved until the property that is wrong stands
 * alone, so that one bad property does not keep the others from the hub.
 * @param send throws AgentError: `hub/twin-refused` is halved, everything else stops the delivery.
 */
export async function deliver(
  patch: JsonObject,
  send: (patch: JsonObject) => Promise<void>,
): Promise<Delivered> {
  const accepted: Unit[] = [];
  const refused: { readonly unit: Unit; readonly error: AgentError }[] = [];
  const waiting = [...batchUnits(unitsOf(patch), maxBatchBytes)];
  for (let batch = waiting.shift(); batch !== undefined; batch = waiting.shift()) {
    try {
      await send(joinUnits(batch));
      accepted.push(...batch);
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      if (error.code !== "hub/twin-refused") return { accepted, refused, stoppedBy: error };
      const [unit] = batch;
      if (batch.length === 1 && unit !== undefined) refused.push({ unit, error });
      else waiting.unshift(...halves(batch));
    }
  }
  return { accepted, refused };
}

function halves(batch: readonly Unit[]): readonly (readonly Unit[])[] {
  const middle = Math.ceil(batch.length / 2);
  return [batch.slice(0, middle), batch.slice(middle)];
}
