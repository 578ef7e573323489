import { randomBytes, randomUUID } from "node:crypto";
import type { DpsAnswer } from "./dps-answer.ts";
import type { JsonObject } from "./json.ts";

export interface ProvisioningPace {
  /** `retry-after` on answers that are not final, in whole seconds. */
  pollAfterSeconds: number;
  /** How many answers say `assigning` before the final one; the answer to the register call is the first. */
  assigningAnswers: number;
  /** What answers say that are not final. `unassigned` is documented; few devices are ready for it. */
  waitingStatus: "assigning" | "unassigned";
  /** Polls of one device that are answered within 10 s; more get 429. */
  pollsPer10Seconds: number;
  /** Register calls of all devices that are taken within a minute; more get 429. */
  registersPerMinute: number;
  /** After this an operation's ID is unknown. */
  operationLifetimeSeconds: number;
}

interface Operation {
  readonly id: string;
  readonly registrationId: string;
  readonly expiresAtMs: number;
  /** Absent while something that takes time is being waited for. */
  result?: JsonObject;
  assigningAnswersLeft: number;
}

/** What register calls have started: each is told as waiting for a while, then its result as often as it is asked for. */
export class Operations {
  readonly #pace: ProvisioningPace;
  readonly #operations = new Map<string, Operation>();

  constructor(pace: ProvisioningPace) {
    this.#pace = pace;
  }

  begin(
    registrationId: string,
    result: JsonObject | Promise<JsonObject>,
    assigningAnswers: number,
    nowMs: number,
  ): Operation {
    for (const { id, expiresAtMs } of this.#operations.values()) {
      if (expiresAtMs <= nowMs) this.#operations.delete(id);
    }
    const operation: Operation = {
      id: `5.${randomBytes(8).toString("hex")}.${randomUUID()}`,
      registrationId: registrationId.toLowerCase(),
      expiresAtMs: nowMs + this.#pace.operationLifetimeSeconds * 1000,
      assigningAnswersLeft: assigningAnswers,
    };
    this.#operations.set(operation.id, operation);
    if (result instanceof Promise) void settle(operation, result);
    else operation.result = result;
    return operation;
  }

  /** @returns undefined for an operation that is unknown, over, or another device's. */
  find(id: string, registrationId: string, nowMs: number): Operation | undefined {
    const operation = this.#operations.get(id);
    const isFound =
      operation !== undefined &&
      operation.registrationId === registrationId.toLowerCase() &&
      operation.expiresAtMs > nowMs;
    return isFound ? operation : undefined;
  }

  answer(operation: Operation): DpsAnswer {
    const { id: operationId, result } = operation;
    if (operation.assigningAnswersLeft > 0 || result === undefined) {
      operation.assigningAnswersLeft -= 1;
      const body = { operationId, status: this.#pace.waitingStatus };
      return { status: 202, body, retryAfterSeconds: this.#pace.pollAfterSeconds };
    }
    const status = result["status"] ?? null;
    return { status: 200, body: { operationId, status, registrationState: result } };
  }
}

async function settle(operation: Operation, result: Promise<JsonObject>): Promise<void> {
  operation.result = await result;
}
