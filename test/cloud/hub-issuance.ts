import { randomUUID } from "node:crypto";
import type { CredentialPolicies, Issued } from "./credential-policies.ts";
import { hubErrorBody } from "./hub-error-body.ts";
import { IssuanceSettings } from "./hub-issuance-settings.ts";
import { readIssueRequest } from "./hub-issue-request.ts";
import type { JsonObject } from "./json.ts";
import type { ServerClock } from "./server-clock.ts";

const operationLifeMs = 12 * 3600 * 1000;

export interface IssuanceAnswer {
  readonly rid: string;
  readonly status: number;
  readonly body: JsonObject;
}

interface Operation {
  readonly rid: string;
  readonly correlationId: string;
  readonly operationExpires: string;
  readonly expiresAtMs: number;
  cancel(): void;
}

/**
 * Certificates that devices ask for over an open connection: one operation at a time for each device, which outlives the
 * connection and is forgotten after twelve hours. Its result waits until the device has taken it.
 */
export class CertificateIssuance {
  readonly settings: IssuanceSettings;
  readonly #clock: ServerClock;
  readonly #policies: CredentialPolicies;
  readonly #operations = new Map<string, Operation>();
  readonly #results = new Map<string, readonly IssuanceAnswer[]>();
  readonly #watchers = new Set<(deviceId: string, result: IssuanceAnswer) => void>();

  constructor(clock: ServerClock, policies: CredentialPolicies) {
    this.#clock = clock;
    this.#policies = policies;
    this.settings = new IssuanceSettings(policies);
  }

  /** Called with each result as soon as it is there. */
  watch(watcher: (deviceId: string, result: IssuanceAnswer) => void): void {
    this.#watchers.add(watcher);
  }

  /** @returns the first answer: 202 with when the operation will be forgotten, or the error. */
  request(deviceId: string, rid: string, body: string): IssuanceAnswer {
    const numbers = this.settings.numbers();
    const refusal = this.settings.takeRefusal();
    if (refusal !== undefined) {
      const { errorCode, retryAfterSeconds: retryAfter } = refusal;
      const answer = this.#error(rid, errorCode, "Try again later.", null);
      return retryAfter === undefined ? answer : { ...answer, body: { ...answer.body, retryAfter } };
    }
    const request = readIssueRequest(deviceId, rid, body);
    if (request.status === "refused") return this.#error(rid, numbers[request.kind], request.because, null);
    const { csr, replace } = request;
    const pending = this.#pending(deviceId);
    if (replace !== undefined && replace !== "*" && replace !== pending?.rid) {
      return this.#error(rid, 412_001, "no active request to replace", { requestId: replace });
    }
    if (pending !== undefined && replace === undefined) {
      const { rid: requestId, operationExpires, correlationId } = pending;
      const info = { requestId, operationExpires, correlationId };
      return this.#error(rid, numbers.conflict, "another operation is active", info);
    }
    pending?.cancel();
    return this.#begin(deviceId, rid, csr);
  }

  /** Results that the device has not taken yet, oldest first. */
  untaken(deviceId: string): readonly IssuanceAnswer[] {
    return this.#results.get(deviceId) ?? [];
  }

  markTaken(deviceId: string, result: IssuanceAnswer): void {
    this.#results.set(
      deviceId,
      this.untaken(deviceId).filter((other) => other !== result),
    );
  }

  /** The device is gone from the hub. */
  forget(deviceId: string): void {
    this.#operations.get(deviceId)?.cancel();
    this.#results.delete(deviceId);
  }

  /** Its alarm may ring a moment late. */
  #pending(deviceId: string): Operation | undefined {
    const operation = this.#operations.get(deviceId);
    if (operation === undefined || this.#clock.now() < operation.expiresAtMs) return operation;
    operation.cancel();
    return undefined;
  }

  #begin(deviceId: string, rid: string, csr: string): IssuanceAnswer {
    const expiresAtMs = this.#clock.now() + operationLifeMs;
    const correlationId = randomUUID();
    const operationExpires = new Date(expiresAtMs).toISOString();
    const { policy, signingMs } = this.settings.get();
    const stopTimers: (() => void)[] = [];
    const operation = {
      rid,
      correlationId,
      operationExpires,
      expiresAtMs,
      cancel: (): void => {
        for (const stop of stopTimers) stop();
        if (this.#operations.get(deviceId) === operation) this.#operations.delete(deviceId);
      },
    };
    this.#operations.set(deviceId, operation);
    stopTimers.push(
      this.#clock.at(expiresAtMs, () => operation.cancel()),
      this.#clock.at(
        this.#clock.now() + signingMs,
        () => void this.#finish(deviceId, operation, policy, csr),
      ),
    );
    return { rid, status: 202, body: { correlationId, operationExpires } };
  }

  async #finish(deviceId: string, operation: Operation, policy: string | null, csr: string): Promise<void> {
    const issued = await this.#sign(policy, csr, deviceId);
    // Replaced or expired meanwhile: nobody hears of it.
    if (this.#operations.get(deviceId) !== operation) return;
    operation.cancel();
    const result = this.#result(operation, issued);
    this.#results.set(deviceId, [...this.untaken(deviceId), result]);
    for (const watcher of this.#watchers) watcher(deviceId, result);
  }

  async #sign(policy: string | null, csr: string, deviceId: string): Promise<Issued> {
    if (policy !== null) return this.#policies.issue(policy, csr, deviceId);
    return { status: "rejected", credentialError: "NoPolicy", because: "the hub has no credential policy" };
  }

  #result({ rid, correlationId, operationExpires }: Operation, issued: Issued): IssuanceAnswer {
    if (issued.status === "issued") {
      return { rid, status: 200, body: { correlationId, certificates: issued.chain } };
    }
    const { credentialError, because: credentialMessage } = issued;
    const info = { correlationId, credentialError, credentialMessage, requestId: rid, operationExpires };
    return this.#error(rid, this.settings.numbers().csrRefused, "the certificate was not issued", info);
  }

  /** The status is in the number: 409005 is a 409. */
  #error(rid: string, errorCode: number, message: string, info: JsonObject | null): IssuanceAnswer {
    const status = Math.floor(errorCode / 1000);
    return { rid, status, body: hubErrorBody(errorCode, message, this.#clock.now(), info) };
  }
}
