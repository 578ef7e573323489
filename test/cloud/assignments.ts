import { randomUUID } from "node:crypto";
import { allocate, type Allocation } from "./allocate.ts";
import { assign, type Placement } from "./assign.ts";
import type { Entitlement } from "./dps-attest.ts";
import { createTpmHubKey, describeIdentity, hubAuthOf } from "./dps-identity.ts";
import { hearsConnectionProfile, isBoundToFirstHub, type Login } from "./dps-login.ts";
import type { DpsRequest } from "./dps-request.ts";
import { wrap } from "./dps-tpm.ts";
import type { Hub } from "./hub.ts";
import type { JsonObject } from "./json.ts";
import type { LinkedHubs } from "./linked-hubs.ts";
import type { ServerClock } from "./server-clock.ts";

/** A device with a right to be assigned, and what it wants. */
export interface Applicant {
  readonly login: Login;
  readonly request: DpsRequest;
  readonly entitlement: Entitlement;
  /** Freshly issued certificates, base64 of DER, leaf first. */
  readonly chain?: readonly string[];
}

export interface Registration extends Placement {
  readonly registrationId: string;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

interface Kept {
  readonly registration: Registration;
  /** As it was told to the device, without what is told only once. */
  readonly state: JsonObject;
  /** Of a TPM: its key at the hub, in base64. */
  readonly tpmHubKey: string;
}

/** Which device was sent where, and the sending itself. Every result is a `registrationState` as the device gets it. */
export class Assignments {
  readonly #hubs: LinkedHubs;
  readonly #clock: ServerClock;
  readonly #kept = new Map<string, Kept>();
  readonly #stopping = new AbortController();

  constructor(hubs: LinkedHubs, clock: ServerClock) {
    this.#hubs = hubs;
    this.#clock = clock;
  }

  list(): readonly Registration[] {
    return [...this.#kept.values()].map(({ registration }) => registration);
  }

  /** What the device was told last, without what is told only once. */
  stateOf(registrationId: string): JsonObject | undefined {
    return this.#find(registrationId)?.state;
  }

  forget(registrationId: string): boolean {
    return this.#kept.delete(registrationId.toLowerCase());
  }

  /** Calls off what is waited for. */
  stop(): void {
    this.#stopping.abort();
  }

  /** The documentation gives a disabled enrollment no error code of its own. */
  disabled(registrationId: string): JsonObject {
    return { registrationId, status: "disabled", errorCode: 0, ...this.#dates(registrationId) };
  }

  /** Acts at once, unless a webhook is asked, and tells later: a device that never polls has been assigned all the same. */
  decide(applicant: Applicant): JsonObject | Promise<JsonObject> {
    const { login, request, entitlement } = applicant;
    const { registrationId, source, identity, groupId } = entitlement;
    const kept = this.#find(registrationId);
    const current = this.#hubs.find(kept?.registration.hub);
    const stays = source.reprovisionPolicy === "never" || isBoundToFirstHub(login);
    if (kept !== undefined && stays && current !== undefined) {
      return this.#tell(applicant, kept.registration, current, kept.tpmHubKey);
    }
    const runtime = {
      registrationId,
      ...(current === undefined ? {} : { currentIotHubHostName: current.hostNames[0] ?? "" }),
      ...(kept === undefined ? {} : { currentDeviceId: kept.registration.deviceId }),
      ...(request.payload === undefined ? {} : { payload: request.payload }),
      ...describeIdentity(identity, groupId),
    };
    const allocation = allocate(this.#hubs, entitlement, runtime, this.#stopping.signal);
    if (!(allocation instanceof Promise)) return this.#carryOut(applicant, allocation);
    return allocation.then((settled) => this.#carryOut(applicant, settled));
  }

  #carryOut(applicant: Applicant, allocation: Allocation): JsonObject {
    const { entitlement, chain } = applicant;
    const { registrationId } = entitlement;
    if ("errorCode" in allocation) {
      return { registrationId, status: "failed", ...allocation, ...this.#dates(registrationId) };
    }
    const { hub, initialTwin, payload } = allocation;
    const kept = this.#find(registrationId);
    const tpmHubKey = kept?.tpmHubKey ?? createTpmHubKey();
    const auth = chain === undefined ? hubAuthOf(entitlement.identity, tpmHubKey) : ({ type: "ca" } as const);
    const placement = assign(this.#hubs, hub, entitlement, auth, kept?.registration, initialTwin);
    return this.#tell(applicant, placement, hub, tpmHubKey, payload);
  }

  #tell(
    { login, entitlement, chain }: Applicant,
    { hub: hubName, deviceId, substatus }: Placement,
    hub: Hub,
    tpmHubKey: string,
    payload = entitlement.source.payload,
  ): JsonObject {
    const now = this.#clock.now();
    const { registrationId, identity, groupId } = entitlement;
    const createdAtMs = this.#find(registrationId)?.registration.createdAtMs ?? now;
    const state = {
      registrationId,
      assignedHub: hub.hostNames[0] ?? "",
      deviceId,
      status: "assigned",
      substatus,
      ...this.#dates(registrationId),
      ...describeIdentity(identity, groupId),
      ...(payload === undefined ? {} : { payload }),
      ...(hearsConnectionProfile(login) ? { connectionProfile: "classic" } : {}),
    };
    const registration = { registrationId, hub: hubName, deviceId, substatus, createdAtMs, updatedAtMs: now };
    this.#kept.set(registrationId.toLowerCase(), { registration, state, tpmHubKey });
    return {
      ...state,
      ...(identity.by === "tpm" ? { tpm: { authenticationKey: wrap(identity.keys, tpmHubKey) } } : {}),
      ...(chain === undefined ? {} : { issuedCertificateChain: chain }),
    };
  }

  #find(registrationId: string): Kept | undefined {
    return this.#kept.get(registrationId.toLowerCase());
  }

  #dates(registrationId: string): JsonObject {
    const now = this.#clock.now();
    return {
      createdDateTimeUtc: timestamp(this.#find(registrationId)?.registration.createdAtMs ?? now),
      lastUpdatedDateTimeUtc: timestamp(now),
      etag: Buffer.from(`"${randomUUID()}"`).toString("base64"),
    };
  }
}

/** Seven digits of fraction, as the service writes them. */
function timestamp(ms: number): string {
  return new Date(ms).toISOString().replace("Z", "3352Z");
}
