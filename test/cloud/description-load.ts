import { CloudError } from "./cloud-error.ts";
import type { CloudDescription } from "./description-spec.ts";
import type { FaultDesk } from "./fault-desk.ts";
import type { FaultProxies } from "./fault-proxies.ts";
import type { Levers } from "./levers.ts";

interface Ground {
  readonly levers: Levers;
  readonly faults: FaultDesk;
  readonly proxies: FaultProxies;
}

/**
 * Makes of a running cloud, whose hubs exist, what a description says.
 * @throws CloudError 400 with everything that could not be done, each on a line of its own behind its path.
 */
export async function loadDescription(
  { levers, faults, proxies }: Ground,
  description: CloudDescription,
): Promise<void> {
  const problems: string[] = [];
  const attempt = async (path: string, act: () => unknown): Promise<void> => {
    try {
      await act();
    } catch (error) {
      if (!(error instanceof CloudError)) throw error;
      problems.push(`${path}: ${error.message}`);
    }
  };
  const { pace, clockOffsetMs } = description;
  if (pace !== undefined) levers.setPace(pace);
  if (clockOffsetMs !== undefined) levers.setClockOffset(clockOffsetMs);
  for (const [name, { validityDays }] of entries(description.credentialPolicies)) {
    await attempt(`credentialPolicies.${name}`, async () =>
      levers.credentialPolicies.put(name, validityDays),
    );
  }
  for (const [name, { certificate, isVerified }] of entries(description.caCertificates)) {
    await attempt(`caCertificates.${name}`, () => levers.caCertificates.put(name, certificate, isVerified));
  }
  for (const [name, hub] of entries(description.hubs)) {
    await loadHub(levers, name, hub, async (path, act) => attempt(`hubs.${name}.${path}`, act));
  }
  for (const [registrationId, settings] of entries(description.enrollments)) {
    await attempt(`enrollments.${registrationId}`, () =>
      levers.enrollments.put({ registrationId, ...settings }),
    );
  }
  for (const [groupId, settings] of entries(description.enrollmentGroups)) {
    await attempt(`enrollmentGroups.${groupId}`, () => levers.enrollments.putGroup({ groupId, ...settings }));
  }
  for (const behaviour of description.proxies ?? []) await proxies.open(behaviour);
  for (const rule of description.faults ?? []) faults.add(rule);
  if (problems.length > 0) throw new CloudError(400, problems.join("\n"));
}

async function loadHub(
  levers: Levers,
  name: string,
  description: NonNullable<CloudDescription["hubs"]>[string],
  attempt: (path: string, act: () => unknown) => Promise<void>,
): Promise<void> {
  const { throttle, certificateIssuance, caCertificates, devices, ...link } = description;
  const hub = levers.hub(name);
  levers.linkedHubs.setLink(name, link);
  if (throttle !== undefined) hub.throttle.change(throttle);
  if (certificateIssuance !== undefined) {
    await attempt("certificateIssuance", () => hub.issuance.settings.change(certificateIssuance));
  }
  for (const [ca, { certificate, isVerified }] of entries(caCertificates)) {
    await attempt(`caCertificates.${ca}`, () => hub.caCertificates.put(ca, certificate, isVerified));
  }
  for (const [deviceId, spec] of entries(devices)) {
    await attempt(`devices.${deviceId}`, () => levers.putDevice(name, deviceId, spec));
  }
}

function entries<T>(table: Readonly<Record<string, T>> | undefined): [name: string, value: T][] {
  return Object.entries(table ?? {});
}
