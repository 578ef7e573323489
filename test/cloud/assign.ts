import type { Entitlement } from "./dps-attest.ts";
import type { DeviceAuth, Hub } from "./hub.ts";
import type { LinkedHubs } from "./linked-hubs.ts";
import { createTwin, type InitialTwin } from "./twin.ts";

/** Where a registration was last sent. */
export interface Placement {
  readonly hub: string;
  readonly deviceId: string;
  readonly substatus:
    | "initialAssignment"
    | "deviceDataMigrated"
    | "deviceDataReset"
    | "reprovisionedToInitialAssignment";
}

/**
 * Puts the device into its hub and says what happened to its data.
 *
 * Still the same place: only the credential is renewed, and the device is made anew if somebody deleted it. Another place:
 * by `migrate` the twin moves along, by `reset` the initial twin is used, and the device is removed from the old hub.
 * Nothing to migrate, because it was deleted there, counts as a reset.
 */
export function assign(
  hubs: LinkedHubs,
  hub: Hub,
  { source, deviceId }: Entitlement,
  auth: DeviceAuth,
  previous: Placement | undefined,
  initialTwin: InitialTwin = source.initialTwin,
): Placement {
  const place = { hub: hub.name, deviceId };
  if (previous === undefined) {
    if (hub.has(deviceId)) hub.setAuth(deviceId, auth);
    else hub.create(deviceId, auth, createTwin(initialTwin));
    return { ...place, substatus: "initialAssignment" };
  }
  if (previous.hub === hub.name && previous.deviceId === deviceId) {
    if (!hub.has(deviceId)) {
      hub.create(deviceId, auth, createTwin(initialTwin));
      return { ...place, substatus: "reprovisionedToInitialAssignment" };
    }
    hub.setAuth(deviceId, auth);
    return previous;
  }

  const oldHub = hubs.find(previous.hub);
  const oldTwin = oldHub?.has(previous.deviceId) === true ? oldHub.device(previous.deviceId).twin : undefined;
  if (oldTwin !== undefined) oldHub?.remove(previous.deviceId, "device moved to another hub");
  if (source.reprovisionPolicy === "migrate" && oldTwin !== undefined) {
    const { tags, desired, reported } = oldTwin;
    const twin = createTwin({ tags, desired: desired.properties, reported: reported.properties });
    hub.create(deviceId, auth, twin);
    return { ...place, substatus: "deviceDataMigrated" };
  }
  hub.create(deviceId, auth, createTwin(initialTwin));
  return { ...place, substatus: "deviceDataReset" };
}
