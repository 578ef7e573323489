import { randomBytes, randomUUID } from "node:crypto";
import { allocate, type Allocation } from "./allocate.ts";
import { assign, type Placement } from "./assign.ts";
import type { CaCertificates } from "./ca-certificates.ts";
import { sha256ThumbprintOf } from "./ca-certificates.ts";
import type { CredentialPolicies } from "./credential-policies.ts";
import { refusals, refuse, type DpsAnswer, type DpsRefusal } from "./dps-answer.ts";
import { attest, type Attested, type Entitlement } from "./dps-attest.ts";
import { hearsConnectionProfile, isBoundToFirstHub, mayAskForCertificates, type Login } from "./dps-login.ts";
import { Operations, type ProvisioningPace } from "./dps-operations.ts";
import { parseDpsRequest, type DpsRequest } from "./dps-request.ts";
import { TpmChallenges, wrap } from "./dps-tpm.ts";
import { describeX509 } from "./dps-x509.ts";
import type { Enrollments } from "./enrollments.ts";
import { createKey, type DeviceAuth, type Hub } from "./hub.ts";
import type { JsonObject } from "./json.ts";
import type { LinkedHubs } from "./linked-hubs.ts";
import type { ServerClock } from "./server-clock.ts";
import { SlidingWindow } from "./sliding-window.ts";

interface RegistrationsOptions {
  readonly enrollments: Enrollments;
  readonly caCertificates: CaCertificates;
  readonly credentialPolicies: CredentialPolicies;
  readonly hubs: LinkedHubs;
  readonly clock: ServerClock;
  readonly pace: ProvisioningPace;
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
  readonly hubKey: string;
}

/** A token that was good at the register call may run out while the device polls. */
const pollGraceMs = 5 * 60 * 1000;

/** The calls of DPS, whatever the transport: register, then poll until the answer is final; look up what became of it. */
export class Registrations {
  readonly #options: RegistrationsOptions;
  readonly #kept = new Map<string, Kept>();
  readonly #operations: Operations;
  readonly #challenges = new TpmChallenges();
  readonly #registers = new SlidingWindow(60_000);
  readonly #polls = new SlidingWindow(10_000);
  readonly #stopping = new AbortController();

  constructor(options: RegistrationsOptions) {
    this.#options = options;
    this.#operations = new Operations(options.pace);
  }

  list(): readonly Registration[] {
    return [...this.#kept.values()].map(({ registration }) => registration);
  }

  /** The next register call of this device is then its first. @returns false when there was none. */
  forget(registrationId: string): boolean {
    return this.#kept.delete(registrationId.toLowerCase());
  }

  /** Calls off what is waited for. */
  stop(): void {
    this.#stopping.abort();
  }

  async register(login: Login, body: string): Promise<DpsAnswer> {
    const { clock, pace } = this.#options;
    const now = clock.now();
    const request = parseDpsRequest(login, body);
    if (request === undefined) return refuse(refusals.badRequest, now);
    if (!this.#registers.take("", pace.registersPerMinute, now)) return this.#throttle(now);
    if (hasRunOut(login, now)) return refuse(refusals.unauthorized, now);
    const challenge = this.#challenge(login, request);
    if (challenge !== undefined) return challenge;
    const attested = this.#attest(login, now);
    if ("refusal" in attested) return refuse(attested.refusal, now);
    return this.#begin(login, request, attested.entitlement);
  }

  poll(login: Login, operationId: string): DpsAnswer {
    const { clock, pace } = this.#options;
    const now = clock.now();
    if (hasRunOut(login, now - pollGraceMs)) return refuse(refusals.unauthorized, now);
    const attested = this.#attest(login, now);
    if ("refusal" in attested) return refuse(attested.refusal, now);
    const id = login.registrationId.toLowerCase();
    if (!this.#polls.take(id, pace.pollsPer10Seconds, now)) return this.#throttle(now);
    const operation = this.#operations.find(operationId, id, now);
    if (operation === undefined) return refuse(refusals.operationNotFound, now);
    return this.#operations.answer(operation);
  }

  /** What became of the last registration: the bare state. Certificates are not told again. */
  lookup(login: Login, body: string): DpsAnswer {
    const now = this.#options.clock.now();
    const request = parseDpsRequest(login, body);
    if (request === undefined || request.csr !== undefined) return refuse(refusals.badRequest, now);
    if (hasRunOut(login, now)) return refuse(refusals.unauthorized, now);
    const challenge = this.#challenge(login, request);
    if (challenge !== undefined) return challenge;
    const attested = this.#attest(login, now);
    if ("refusal" in attested) return refuse(attested.refusal, now);
    const kept = this.#kept.get(login.registrationId.toLowerCase());
    if (kept === undefined) return refuse(refusals.registrationNotFound, now);
    const { registrationId, source } = attested.entitlement;
    return { status: 200, body: source.enabled ? kept.state : { registrationId, status: "disabled" } };
  }

  #attest(login: Login, nowMs: number): Attested {
    const { enrollments, caCertificates } = this.#options;
    return attest({ enrollments, caCertificates, challenges: this.#challenges }, login, nowMs);
  }

  /** A TPM that is enrolled gets a key to sign with when it has shown none yet, or shows other keys than it was given one for. */
  #challenge(login: Login, { tpm }: DpsRequest): DpsAnswer | undefined {
    if (tpm === undefined || login.transport === "mqtt" || login.proof.by === "certificate") return undefined;
    const attestation = this.#options.enrollments.find(login.registrationId)?.attestation;
    if (attestation?.type !== "tpm") return undefined;
    if (attestation.endorsementKey !== tpm.endorsementKey) {
      return refuse(refusals.unauthorized, this.#options.clock.now());
    }
    if (login.proof.by === "token") {
      const solver = this.#challenges.solvedBy(login.registrationId, login.proof.token);
      if (solver === undefined || solver.storageRootKey === tpm.storageRootKey) return undefined;
    }
    return { status: 401, body: this.#challenges.issue(login.registrationId, tpm) };
  }

  async #begin(login: Login, request: DpsRequest, entitlement: Entitlement): Promise<DpsAnswer> {
    const { clock, pace } = this.#options;
    const { registrationId, source } = entitlement;
    // The documentation gives a disabled enrollment no error code of its own.
    if (!source.enabled) {
      const state = { registrationId, status: "disabled", errorCode: 0, ...this.#dates(registrationId) };
      return this.#operations.answer(this.#operations.begin(registrationId, state, 0, clock.now()));
    }
    const certificates = await this.#issue(login, request, entitlement);
    if ("errorCode" in certificates) return refuse(certificates, clock.now());
    const state = this.#decide(login, request, entitlement, certificates.chain);
    const answers = pace.assigningAnswers;
    return this.#operations.answer(this.#operations.begin(registrationId, state, answers, clock.now()));
  }

  /** A device that asks for a certificate without a policy behind its enrollment is served without. */
  async #issue(
    login: Login,
    { csr }: DpsRequest,
    { registrationId, source }: Entitlement,
  ): Promise<{ readonly chain?: readonly string[] } | DpsRefusal> {
    const policy = source.credentialPolicy;
    if (csr === undefined || policy === undefined || !mayAskForCertificates(login)) return {};
    const issued = await this.#options.credentialPolicies.issue(policy, csr, registrationId);
    if (issued.status === "issued") return { chain: issued.chain };
    const { credentialError, because } = issued;
    const info = { credentialError, credentialMessage: because };
    return { status: 400, errorCode: 400040, message: "Invalid certificate signing request.", info };
  }

  /** Acts at once, unless a webhook is asked, and tells later: a device that never polls has been assigned all the same. */
  #decide(
    login: Login,
    request: DpsRequest,
    entitlement: Entitlement,
    chain: readonly string[] | undefined,
  ): JsonObject | Promise<JsonObject> {
    const { hubs } = this.#options;
    const { registrationId, source } = entitlement;
    const kept = this.#kept.get(registrationId.toLowerCase());
    const stays = source.reprovisionPolicy === "never" || isBoundToFirstHub(login);
    const current = hubs.find(kept?.registration.hub);
    if (kept !== undefined && stays && current !== undefined) {
      return this.#assigned(login, entitlement, kept.registration, current, kept.hubKey, chain);
    }
    const { payload } = request;
    const runtime = {
      registrationId,
      ...(current === undefined ? {} : { currentIotHubHostName: current.hostNames[0] ?? "" }),
      ...(kept === undefined ? {} : { currentDeviceId: kept.registration.deviceId }),
      ...(payload === undefined ? {} : { payload }),
      ...describeIdentity(entitlement),
    };
    const allocation = allocate(hubs, entitlement, runtime, this.#stopping.signal);
    const carryOut = (allocation: Allocation): JsonObject =>
      this.#carryOut(login, entitlement, allocation, chain);
    return allocation instanceof Promise ? allocation.then(carryOut) : carryOut(allocation);
  }

  #carryOut(
    login: Login,
    entitlement: Entitlement,
    allocation: Allocation,
    chain: readonly string[] | undefined,
  ): JsonObject {
    const { registrationId } = entitlement;
    if ("errorCode" in allocation) {
      return { registrationId, status: "failed", ...allocation, ...this.#dates(registrationId) };
    }
    const { hub, initialTwin, payload } = allocation;
    const kept = this.#kept.get(registrationId.toLowerCase());
    const hubKey = kept?.hubKey ?? randomBytes(32).toString("base64");
    const auth = chain === undefined ? authOf(entitlement, hubKey) : ({ type: "ca" } as const);
    const placement = assign(this.#options.hubs, hub, entitlement, auth, kept?.registration, initialTwin);
    const told = payload ?? entitlement.source.payload;
    return this.#assigned(login, entitlement, placement, hub, hubKey, chain, told);
  }

  #assigned(
    login: Login,
    entitlement: Entitlement,
    { hub: hubName, deviceId, substatus }: Placement,
    hub: Hub,
    hubKey: string,
    chain: readonly string[] | undefined,
    payload = entitlement.source.payload,
  ): JsonObject {
    const now = this.#options.clock.now();
    const { registrationId, identity } = entitlement;
    const createdAtMs = this.#kept.get(registrationId.toLowerCase())?.registration.createdAtMs ?? now;
    const state = {
      registrationId,
      assignedHub: hub.hostNames[0] ?? "",
      deviceId,
      status: "assigned",
      substatus,
      ...this.#dates(registrationId),
      ...describeIdentity(entitlement),
      ...(payload === undefined ? {} : { payload }),
      ...(hearsConnectionProfile(login) ? { connectionProfile: "classic" } : {}),
    };
    const registration = { registrationId, hub: hubName, deviceId, substatus, createdAtMs, updatedAtMs: now };
    this.#kept.set(registrationId.toLowerCase(), { registration, state, hubKey });
    return {
      ...state,
      ...(identity.by === "tpm" ? { tpm: { authenticationKey: wrap(identity.keys, hubKey) } } : {}),
      ...(chain === undefined ? {} : { issuedCertificateChain: chain }),
    };
  }

  #dates(registrationId: string): JsonObject {
    const now = this.#options.clock.now();
    const kept = this.#kept.get(registrationId.toLowerCase());
    return {
      createdDateTimeUtc: timestamp(kept?.registration.createdAtMs ?? now),
      lastUpdatedDateTimeUtc: timestamp(now),
      etag: Buffer.from(`"${randomUUID()}"`).toString("base64"),
    };
  }

  #throttle(nowMs: number): DpsAnswer {
    const retryAfterSeconds = this.#options.pace.pollAfterSeconds;
    return { ...refuse(refusals.throttled, nowMs), retryAfterSeconds };
  }
}

function hasRunOut({ proof }: Login, nowMs: number): boolean {
  return proof.by === "token" && proof.token.expiresAtMs <= nowMs;
}

/** What the device will have to show at its hub. */
function authOf({ identity }: Entitlement, hubKey: string): DeviceAuth {
  switch (identity.by) {
    case "symmetricKey":
      return { type: "sas", ...identity.keys };
    case "x509": {
      const [primary, secondary] = identity.enrolled.map((certificate) => sha256ThumbprintOf(certificate));
      return {
        type: "selfSigned",
        ...(primary === undefined ? {} : { primaryThumbprint: primary }),
        ...(secondary === undefined ? {} : { secondaryThumbprint: secondary }),
      };
    }
    case "tpm":
      return { type: "sas", primaryKey: hubKey, secondaryKey: createKey() };
  }
}

function describeIdentity({ identity, groupId }: Entitlement): JsonObject {
  switch (identity.by) {
    case "symmetricKey":
      return { symmetricKey: groupId === undefined ? {} : { enrollmentGroupId: groupId } };
    case "x509":
      return { x509: describeX509(identity.leaf, identity.signer, groupId) };
    case "tpm":
      return { tpm: {} };
  }
}

/** Seven digits of fraction, as the service writes them. */
function timestamp(ms: number): string {
  return new Date(ms).toISOString().replace("Z", "3352Z");
}
