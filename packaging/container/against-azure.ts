import { once } from "node:events";
import { Agent } from "./agent.ts";
import type { Custody } from "./custody.ts";

interface Against {
  readonly work: string;
  readonly custody: Custody;
  readonly idScope: string;
}

/** Only the agent, until it is told to stop: against the service that the ID scope belongs to. Says first who has to be enrolled. */
export async function runAgainstAzure(
  { work, custody, idScope }: Against,
  stop: AbortSignal,
): Promise<number> {
  const agent = new Agent(work, custody, `id_scope = ${JSON.stringify(idScope)}\n`, "");
  const { registrationId, endorsementKey } = await agent.identity();
  process.stdout.write(`The device's key is in ${custody.name}. Enroll it as:\n`);
  process.stdout.write(`  registration ID   ${registrationId}\n`);
  if (endorsementKey !== undefined) process.stdout.write(`  endorsement key   ${endorsementKey}\n`);
  if (custody.symmetricKey !== undefined)
    process.stdout.write(`  primary key       ${custody.symmetricKey}\n`);
  await using daemon = agent.start();
  await Promise.race([daemon.exited, once(stop, "abort")]);
  return stop.aborted ? 0 : await daemon.exited;
}
