import { randomBytes, randomUUID } from "node:crypto";
import { assign, type Placement } from "./assign.ts";
import { dpsError, type DpsAnswer } from "./dps-answer.ts";
import type { Enrollments, Entitlement } from "./enrollments.ts";
import type { Hub } from "./hub.ts";
import { isJsonObject, parseJson, type JsonObject } from "./json.ts";
import type { SasToken } from "./sas-token.ts";
import type { ServerClock } from "./server-clock.ts";

export interface ProvisioningPace {
  /** `retry-after` on answers that are not final, in whole seconds. */
  pollAfterSeconds: number;
  /** How many answers say `assigning` before the final one; the answer to the register call is the first. */
  assigningAnswers: number;
  /** Polls of one device that are answered within 10 s; more get 429. */
  pollsPer10Seconds: number;
}

interface RegistrationsOptions {
  readonly enrollments: Enrollments;
  readonly hubs: ReadonlyMap<string, Hub>;
  readonly clock: ServerClock;
  readonly pace: ProvisioningPace;
}

/** A device that has shown a well-formed, current token for its own registration ID; the signature is still unproven. */
export interface Login {
  readonly registrationId: string;
  readonly token: SasToken;
}

interface Operation {
  readonly registrationId: string;
  readonly result: JsonObject;
  assigningAnswersLeft: number;
}

export interface Registration extends Placement {
  readonly registrationId: string;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

/** A token that was good at the register call may run out while the device polls. */
const pollGraceMs = 5 * 60 * 1000;

/** The registration calls of DPS, whatever the transport: register, then poll until the answer is final. */
export class Registrations {
  readonly #options: RegistrationsOptions;
  readonly #registrations = new Map<string, Registration>();
  readonly #operations = new Map<string, Operation>();
  readonly #polls = new Map<string, number[]>();

  constructor(options: RegistrationsOptions) {
    this.#options = options;
  }

  list(): readonly Registration[] {
    return [...this.#registrations.values()];
  }

  /** The next register call of this device is then its first. @returns false when there was none. */
  forget(registrationId: string): boolean {
    return this.#registrations.delete(registrationId.toLowerCase());
  }

  register(login: Login, body: string): DpsAnswer {
    const now = this.#options.clock.now();
    if (!isOwnRequest(login, body)) return dpsError(400, 400004, "Bad request.", now);
    if (login.token.expiresAtMs <= now) return dpsError(401, 401002, "Unauthorized", now);
    const match = this.#options.enrollments.match(login.registrationId, login.token);
    switch (match.found) {
      case "nothing":
        return dpsError(404, 404201, "Enrollment not found.", now);
      case "wrong-key":
        return dpsError(401, 401002, "Unauthorized", now);
      case "entitlement":
        return this.#begin(match.entitlement);
    }
  }

  poll(login: Login, operationId: string): DpsAnswer {
    const { clock, pace } = this.#options;
    const now = clock.now();
    if (login.token.expiresAtMs + pollGraceMs <= now) return dpsError(401, 401002, "Unauthorized", now);
    if (!this.#takePoll(login.registrationId, now)) {
      return {
        ...dpsError(429, 429001, "Too many requests.", now),
        retryAfterSeconds: pace.pollAfterSeconds,
      };
    }
    const operation = this.#operations.get(operationId);
    if (operation?.registrationId !== login.registrationId.toLowerCase()) {
      return dpsError(404, 404203, "Operation not found.", now);
    }
    return this.#answer(operationId, operation);
  }

  #begin(entitlement: Entitlement): DpsAnswer {
    const operationId = `5.${randomBytes(8).toString("hex")}.${randomUUID()}`;
    const operation = {
      registrationId: entitlement.registrationId.toLowerCase(),
      result: this.#decide(entitlement),
      assigningAnswersLeft: entitlement.enabled ? this.#options.pace.assigningAnswers : 0,
    };
    this.#operations.set(operationId, operation);
    return this.#answer(operationId, operation);
  }

  #answer(operationId: string, operation: Operation): DpsAnswer {
    if (operation.assigningAnswersLeft > 0) {
      operation.assigningAnswersLeft -= 1;
      const body = { operationId, status: "assigning" };
      return { status: 202, body, retryAfterSeconds: this.#options.pace.pollAfterSeconds };
    }
    const status = operation.result["status"] ?? null;
    return { status: 200, body: { operationId, status, registrationState: operation.result } };
  }

  /** Acts at once and tells later: a device that never polls has been assigned all the same. */
  #decide(entitlement: Entitlement): JsonObject {
    const { clock, hubs } = this.#options;
    const now = clock.now();
    const { registrationId } = entitlement;
    const id = registrationId.toLowerCase();
    const previous = this.#registrations.get(id);
    const createdAtMs = previous?.createdAtMs ?? now;
    const dates = {
      createdDateTimeUtc: timestamp(createdAtMs),
      lastUpdatedDateTimeUtc: timestamp(now),
      etag: Buffer.from(`"${randomUUID()}"`).toString("base64"),
    };
    // The documentation gives a disabled enrollment no error code of its own.
    if (!entitlement.enabled) return { registrationId, status: "disabled", errorCode: 0, ...dates };
    const placement = assign(hubs, entitlement, previous);
    const hubHost = hubs.get(placement?.hub ?? "")?.hostNames[0];
    if (placement === undefined || hubHost === undefined) {
      const failure = { errorCode: 400208, errorMessage: "IoT hub is not specified or not linked." };
      return { registrationId, status: "failed", ...failure, ...dates };
    }
    this.#registrations.set(id, { ...placement, registrationId, createdAtMs, updatedAtMs: now });
    return {
      registrationId,
      assignedHub: hubHost,
      deviceId: placement.deviceId,
      status: "assigned",
      substatus: placement.substatus,
      ...dates,
      symmetricKey: entitlement.groupId === undefined ? {} : { enrollmentGroupId: entitlement.groupId },
      ...(entitlement.payload === undefined ? {} : { payload: entitlement.payload }),
    };
  }

  #takePoll(registrationId: string, now: number): boolean {
    const id = registrationId.toLowerCase();
    const recent = (this.#polls.get(id) ?? []).filter((at) => at > now - 10_000 && at <= now);
    this.#polls.set(id, recent);
    if (recent.length >= this.#options.pace.pollsPer10Seconds) return false;
    recent.push(now);
    return true;
  }
}

/** C# devices send nothing, or a payload without the ID: the ID that counts is the one they logged in with. */
function isOwnRequest(login: Login, body: string): boolean {
  if (body.trim() === "") return true;
  const request = parseJson(body);
  if (!isJsonObject(request)) return false;
  const id = request["registrationId"];
  return (
    id === undefined || (typeof id === "string" && id.toLowerCase() === login.registrationId.toLowerCase())
  );
}

/** Seven digits of fraction, as the service writes them. */
function timestamp(ms: number): string {
  return new Date(ms).toISOString().replace("Z", "3352Z");
}
