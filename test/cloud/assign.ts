import type { Entitlement } from "./enrollments.ts";
import type { DeviceAuth, Hub } from "./hub.ts";
import { createTwin } from "./twin.ts";

/** Where a registration was last sent. */
export interface Placement {
  readonly hub: string;
  readonly deviceId: string;
  readonly substatus: "initialAssignment" | "deviceDataMigrated" | "deviceDataReset";
}

/**
 * Puts the device into the hub that its enrollment names and says what happened to its data.
 *
 * Still the same place: only the keys are renewed, and the device is made anew if somebody deleted it. Another place:
 * by policy `never` the old one stands; by `migrate` the twin moves along; by `reset` the initial twin is used. The device
 * is removed from the old hub in both cases. Nothing to migrate, because it was deleted there, counts as a reset.
 * @returns undefined when the enrollment names no hub that exists.
 */
export function assign(
  hubs: ReadonlyMap<string, Hub>,
  entitlement: Entitlement,
  previous: Placement | undefined,
): Placement | undefined {
  const policy = entitlement.reprovisionPolicy;
  if (previous !== undefined && policy === "never") return previous;
  const hub = hubs.get(entitlement.hub ?? "");
  if (hub === undefined) return undefined;
  const { deviceId, primaryKey, secondaryKey } = entitlement;
  const auth: DeviceAuth = { type: "sas", primaryKey, secondaryKey };
  const place = { hub: hub.name, deviceId };

  if (previous === undefined || (previous.hub === hub.name && previous.deviceId === deviceId)) {
    if (hub.has(deviceId)) hub.setAuth(deviceId, auth);
    else hub.create(deviceId, auth, createTwin(entitlement.initialTwin));
    return previous ?? { ...place, substatus: "initialAssignment" };
  }

  const oldHub = hubs.get(previous.hub);
  const oldTwin = oldHub?.has(previous.deviceId) === true ? oldHub.device(previous.deviceId).twin : undefined;
  if (oldTwin !== undefined) oldHub?.remove(previous.deviceId, "device moved to another hub");
  if (policy === "migrate" && oldTwin !== undefined) {
    const { tags, desired, reported } = oldTwin;
    hub.create(
      deviceId,
      auth,
      createTwin({ tags, desired: desired.properties, reported: reported.properties }),
    );
    return { ...place, substatus: "deviceDataMigrated" };
  }
  hub.create(deviceId, auth, createTwin(entitlement.initialTwin));
  return { ...place, substatus: "deviceDataReset" };
}
