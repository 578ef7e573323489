import { Assignments, type Registration } from "./assignments.ts";
import type { CaCertificates } from "./ca-certificates.ts";
import type { CredentialPolicies } from "./credential-policies.ts";
import { refusals, refuse, type DpsAnswer, type DpsRefusal } from "./dps-answer.ts";
import { attest, type Attested, type Entitlement } from "./dps-attest.ts";
import { mayAskForCertificates, type Login } from "./dps-login.ts";
import { Operations, type ProvisioningPace } from "./dps-operations.ts";
import { parseDpsRequest, type DpsRequest } from "./dps-request.ts";
import { TpmChallenges } from "./dps-tpm.ts";
import type { Enrollments } from "./enrollments.ts";
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

/** A token that was good at the register call may run out while the device polls. */
const pollGraceMs = 5 * 60 * 1000;

/** The calls of DPS, whatever the transport: register, then poll until the answer is final; look up what became of it. */
export class Registrations {
  readonly #options: RegistrationsOptions;
  readonly #assignments: Assignments;
  readonly #operations: Operations;
  readonly #challenges = new TpmChallenges();
  readonly #registers = new SlidingWindow(60_000);
  readonly #polls = new SlidingWindow(10_000);

  constructor(options: RegistrationsOptions) {
    this.#options = options;
    this.#assignments = new Assignments(options.hubs, options.clock);
    this.#operations = new Operations(options.pace);
  }

  list(): readonly Registration[] {
    return this.#assignments.list();
  }

  /** The next register call of this device is then its first. @returns false when there was none. */
  forget(registrationId: string): boolean {
    return this.#assignments.forget(registrationId);
  }

  /** Calls off what is waited for. */
  stop(): void {
    this.#assignments.stop();
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
    const { registrationId, source } = attested.entitlement;
    const state = this.#assignments.stateOf(registrationId);
    if (state === undefined) return refuse(refusals.registrationNotFound, now);
    return { status: 200, body: source.enabled ? state : { registrationId, status: "disabled" } };
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
    if (!source.enabled) {
      const state = this.#assignments.disabled(registrationId);
      return this.#operations.answer(this.#operations.begin(registrationId, state, 0, clock.now()));
    }
    const issued = await this.#issue(login, request, entitlement);
    if ("errorCode" in issued) return refuse(issued, clock.now());
    const state = this.#assignments.decide({ login, request, entitlement, ...issued });
    const answers = pace.assigningAnswers;
    return this.#operations.answer(this.#operations.begin(registrationId, state, answers, clock.now()));
  }

  /** A device that asks for a certificate without a policy behind its enrollment is served without. */
  async #issue(
    login: Login,
    { csr }: DpsRequest,
    { registrationId, source }: Entitlement,
  ): Promise<{ readonly chain?: readonly string[] } | DpsRefusal> {
    const { credentialPolicies } = this.#options;
    const policy = source.credentialPolicy;
    if (csr === undefined || policy === undefined || !mayAskForCertificates(login)) return {};
    if (!credentialPolicies.has(policy)) return {};
    const issued = await credentialPolicies.issue(policy, csr, registrationId);
    if (issued.status === "issued") return { chain: issued.chain };
    const { credentialError, because } = issued;
    const info = { credentialError, credentialMessage: because };
    return { status: 400, errorCode: 400040, message: "Invalid certificate signing request.", info };
  }

  #throttle(nowMs: number): DpsAnswer {
    const retryAfterSeconds = this.#options.pace.pollAfterSeconds;
    return { ...refuse(refusals.throttled, nowMs), retryAfterSeconds };
  }
}

function hasRunOut({ proof }: Login, nowMs: number): boolean {
  return proof.by === "token" && proof.token.expiresAtMs <= nowMs;
}
