import { CloudError } from "./cloud-error.ts";
import {
  parseEnrollment,
  parseEnrollmentChange,
  parseGroup,
  parseGroupChange,
  type EnrollmentChange,
  type EnrollmentSpec,
  type GroupChange,
  type GroupSpec,
} from "./enrollment-spec.ts";
import { createKey, type DeviceKeys } from "./hub.ts";
import type { JsonValue } from "./json.ts";
import { deriveKey, isSignedWith, type SasToken } from "./sas-token.ts";
import type { InitialTwin } from "./twin.ts";

interface Settings extends DeviceKeys {
  /** A hub's name; absent when none is linked. */
  readonly hub?: string;
  readonly enabled: boolean;
  readonly initialTwin: InitialTwin;
  readonly reprovisionPolicy: "migrate" | "reset" | "never";
  readonly payload?: JsonValue;
}

export interface Enrollment extends Settings {
  readonly registrationId: string;
  readonly deviceId: string;
}

export interface EnrollmentGroup extends Settings {
  readonly groupId: string;
}

/** What one device gets, whether it was enrolled by itself or through a group. */
export interface Entitlement extends Settings {
  readonly registrationId: string;
  readonly deviceId: string;
  readonly groupId?: string;
}

type Match =
  | { readonly found: "entitlement"; readonly entitlement: Entitlement }
  | { readonly found: "wrong-key" }
  | { readonly found: "nothing" };

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

  get(registrationId: string): Enrollment {
    return found(this.#individuals.get(registrationId.toLowerCase()), `enrollment ${registrationId}`);
  }

  /** Creates or replaces; keys that are left out are made. @throws CloudError 400 */
  put(spec: EnrollmentSpec): Enrollment {
    const { registrationId, deviceId = registrationId, ...settings } = parseEnrollment(spec);
    const enrollment = { registrationId, deviceId, ...this.#complete(settings) };
    this.#individuals.set(registrationId.toLowerCase(), enrollment);
    return enrollment;
  }

  /** Changes what is named and leaves the rest. @throws CloudError 400, 404 */
  change(registrationId: string, change: EnrollmentChange): Enrollment {
    const old = this.get(registrationId);
    return this.put({ ...old, hub: old.hub ?? null, ...parseEnrollmentChange(change) });
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
    const { groupId, ...settings } = parseGroup(spec);
    const group = { groupId, ...this.#complete(settings) };
    this.#groups.set(groupId.toLowerCase(), group);
    return group;
  }

  changeGroup(groupId: string, change: GroupChange): EnrollmentGroup {
    const old = this.group(groupId);
    return this.putGroup({ ...old, hub: old.hub ?? null, ...parseGroupChange(change) });
  }

  deleteGroup(groupId: string): void {
    this.group(groupId);
    this.#groups.delete(groupId.toLowerCase());
  }

  /**
   * Who is it that signed this token? With groups around, an unknown device and a wrong key look the same: `wrong-key`.
   * Group keys are derived from the registration ID as the device spells it.
   */
  match(registrationId: string, token: SasToken): Match {
    const individual = this.#individuals.get(registrationId.toLowerCase());
    if (individual !== undefined) {
      const isGenuine =
        isSignedWith(token, individual.primaryKey) || isSignedWith(token, individual.secondaryKey);
      return isGenuine ? { found: "entitlement", entitlement: individual } : { found: "wrong-key" };
    }
    for (const group of this.#groups.values()) {
      const primaryKey = deriveKey(group.primaryKey, registrationId);
      const secondaryKey = deriveKey(group.secondaryKey, registrationId);
      if (isSignedWith(token, primaryKey) || isSignedWith(token, secondaryKey)) {
        const entitlement = { ...group, registrationId, deviceId: registrationId, primaryKey, secondaryKey };
        return { found: "entitlement", entitlement };
      }
    }
    return { found: this.#groups.size === 0 ? "nothing" : "wrong-key" };
  }

  #complete(settings: GroupChange): Settings {
    const hub = settings.hub === undefined ? this.#defaultHub() : settings.hub;
    return {
      primaryKey: settings.primaryKey ?? createKey(),
      secondaryKey: settings.secondaryKey ?? createKey(),
      ...(hub === null ? {} : { hub }),
      enabled: settings.enabled ?? true,
      initialTwin: settings.initialTwin ?? {},
      reprovisionPolicy: settings.reprovisionPolicy ?? "migrate",
      ...(settings.payload === undefined ? {} : { payload: settings.payload }),
    };
  }
}

function found<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new CloudError(404, `there is no ${what}`);
  return value;
}
