import { createHash } from "node:crypto";
import { askWebhook, type AllocationRequest } from "./allocation-webhook.ts";
import type { Entitlement } from "./dps-attest.ts";
import type { Hub } from "./hub.ts";
import type { JsonValue } from "./json.ts";
import type { LinkedHubs } from "./linked-hubs.ts";
import type { InitialTwin } from "./twin.ts";

/** Which hub a device goes to, and what a custom allocation function wants to be said along the way. */
export type Allocation =
  | { readonly hub: Hub; readonly initialTwin?: InitialTwin; readonly payload?: JsonValue }
  | AllocationFailure;

/** Told to the device as status `failed` with these. */
export interface AllocationFailure {
  readonly errorCode: number;
  readonly errorMessage: string;
}

const notLinked: AllocationFailure = {
  errorCode: 400208,
  errorMessage: "IoT hub is not specified or not linked.",
};
const notAuthorized: AllocationFailure = {
  errorCode: 400209,
  errorMessage: "The provisioning service is not authorized at the IoT hub.",
};

/**
 * Chooses a hub by the enrollment's policy. Only a custom allocation takes time; all others answer at once.
 * @param runtime what the webhook is told about the device.
 */
export function allocate(
  hubs: LinkedHubs,
  entitlement: Entitlement,
  runtime: AllocationRequest["deviceRuntimeContext"],
  signal: AbortSignal,
): Allocation | Promise<Allocation> {
  const { source, registrationId } = entitlement;
  const candidates = (source.hubs ?? hubs.names()).filter((name) => hubs.find(name) !== undefined);
  switch (source.allocationPolicy) {
    case "static":
      return settle(hubs, hubs.find(source.hub));
    case "hashed":
      return settle(hubs, hubs.find(candidates[hash(registrationId) % candidates.length]));
    case "geoLatency": {
      const [nearest] = candidates.toSorted((a, b) => hubs.link(a).latencyMs - hubs.link(b).latencyMs);
      return settle(hubs, hubs.find(nearest));
    }
    case "custom":
      return askFunction(hubs, entitlement, candidates, runtime, signal);
  }
}

async function askFunction(
  hubs: LinkedHubs,
  { source, groupId }: Entitlement,
  candidates: readonly string[],
  deviceRuntimeContext: AllocationRequest["deviceRuntimeContext"],
  signal: AbortSignal,
): Promise<Allocation> {
  if (source.webhookUrl === undefined) return notLinked;
  const { primaryKey: _primary, secondaryKey: _secondary, ...enrollment } = source;
  const answer = await askWebhook(
    source.webhookUrl,
    {
      [groupId === undefined ? "individualEnrollment" : "enrollmentGroup"]: enrollment,
      deviceRuntimeContext,
      linkedHubs: candidates.map((name) => hubs.find(name)?.hostNames[0] ?? name),
    },
    signal,
  );
  if ("errorCode" in answer) return answer;
  const { iotHubHostName, ...rest } = answer;
  const settled = settle(hubs, hubs.findByHost(iotHubHostName));
  return "hub" in settled ? { ...rest, ...settled } : settled;
}

function settle(hubs: LinkedHubs, hub: Hub | undefined): Allocation {
  if (hub === undefined) return notLinked;
  return hubs.link(hub.name).isAuthorized ? { hub } : notAuthorized;
}

/** The same device gets the same hub as long as the list stays the same. */
function hash(registrationId: string): number {
  return createHash("sha256").update(registrationId.toLowerCase()).digest().readUInt32BE(0);
}
