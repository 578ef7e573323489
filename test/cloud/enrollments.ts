import { CloudError } from "./cloud-error.ts";
import {
  parseEnrollment,
  parseEnrollmentChange,
  parseGroup,
  parseGroupChange,
  type EnrollmentChange,
  type EnrollmentSpec,
  type GroupAttestation,
  type GroupChange,
  type GroupSpec,
  type IndividualAttestation,
} from "./enrollment-spec.ts";
import { createKey, type DeviceKeys } from "./hub.ts";
import type { JsonValue } from "./json.ts";
import type { InitialTwin } from "./twin.ts";

interface Settings extends DeviceKeys {
  readonly allocationPolicy: "static" | "hashed" | "geoLatency" | "custom";
  /** A hub's name; absent when none is linked. */
  readonly hub?: string;
  readonly hubs?: readonly string[];
  readonly webhookUrl?: string;
  readonly enabled: boolean;
  readonly initialTwin: InitialTwin;
  readonly reprovisionPolicy: "migrate" | "reset" | "never";
  readonly payload?: JsonValue;
  readonly credentialPolicy?: string;
}

export interface Enrollment extends Settings {
  readonly registrationId: string;
  readonly deviceId: string;
  readonly attestation: IndividualAttestation;
}

export interface EnrollmentGroup extends Settings {
  readonly groupId: string;
  readonly attestation: GroupAttestation;
}

/** Who may register. Registration IDs are looked up without regard to case, an individual enrollment before any group. */
export class Enrollments {
  readonly #defaultHub: () => string;
  readonly #individuals = new Map<string, Enrollment>();
  readonly #groups = new Map<string, EnrollmentGroup>();

  constructor(defaultHub: () => string) {
    this.#defaultHub = defaultHub;
  }

  list(): readonly Enrollment[] {
    return [...this.#individuals.values()];
  }

  find(registrationId: string): Enrollment | undefined {
    return this.#individuals.get(registrationId.toLowerCase());
  }

  get(registrationId: string): Enrollment {
    return found(this.find(registrationId), `enrollment ${registrationId}`);
  }

  /** Creates or replaces; keys that are left out are made. @throws CloudError 400 */
  put(spec: EnrollmentSpec): Enrollment {
    const { registrationId, deviceId = registrationId, attestation, ...settings } = parseEnrollment(spec);
    const enrollment: Enrollment = {
      registrationId,
      deviceId,
      attestation: attestation ?? { type: "symmetricKey" },
      ...this.#complete(settings),
    };
    this.#individuals.set(registrationId.toLowerCase(), enrollment);
    return enrollment;
  }

  /** Changes what is named and leaves the rest. @throws CloudError 400, 404 */
  change(registrationId: string, change: EnrollmentChange): Enrollment {
    const old = this.get(registrationId);
    return this.put({ ...revise(old), ...parseEnrollmentChange(change) });
  }

  delete(registrationId: string): void {
    this.get(registrationId);
    this.#individuals.delete(registrationId.toLowerCase());
  }

  groups(): readonly EnrollmentGroup[] {
    return [...this.#groups.values()];
  }

  group(groupId: string): EnrollmentGroup {
    return found(this.#groups.get(groupId.toLowerCase()), `enrollment group ${groupId}`);
  }

  putGroup(spec: GroupSpec): EnrollmentGroup {
    const { groupId, attestation, ...settings } = parseGroup(spec);
    const group: EnrollmentGroup = {
      groupId,
      attestation: attestation ?? { type: "symmetricKey" },
      ...this.#complete(settings),
    };
    this.#groups.set(groupId.toLowerCase(), group);
    return group;
  }

  changeGroup(groupId: string, change: GroupChange): EnrollmentGroup {
    const old = this.group(groupId);
    return this.putGroup({ ...revise(old), ...parseGroupChange(change) });
  }

  deleteGroup(groupId: string): void {
    this.group(groupId);
    this.#groups.delete(groupId.toLowerCase());
  }

  #complete(settings: GroupChange): Settings {
    const hub = settings.hub === undefined ? this.#defaultHub() : settings.hub;
    const { hubs, webhookUrl, payload, credentialPolicy } = settings;
    return {
      primaryKey: settings.primaryKey ?? createKey(),
      secondaryKey: settings.secondaryKey ?? createKey(),
      allocationPolicy: settings.allocationPolicy ?? "static",
      ...(hub === null ? {} : { hub }),
      ...(hubs === undefined ? {} : { hubs }),
      ...(webhookUrl === undefined ? {} : { webhookUrl }),
      enabled: settings.enabled ?? true,
      initialTwin: settings.initialTwin ?? {},
      reprovisionPolicy: settings.reprovisionPolicy ?? "migrate",
      ...(payload === undefined ? {} : { payload }),
      ...(credentialPolicy === undefined ? {} : { credentialPolicy }),
    };
  }
}

/** What is stored, as one would specify it. */
function revise<T extends Settings>({
  hub,
  hubs,
  ...rest
}: T): Omit<T, "hub" | "hubs"> & {
  readonly hub: string | null;
  readonly hubs?: string[];
} {
  return { ...rest, hub: hub ?? null, ...(hubs === undefined ? {} : { hubs: [...hubs] }) };
}

function found<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new CloudError(404, `there is no ${what}`);
  return value;
}
