import { randomBytes } from "node:crypto";
import * as v from "valibot";
import { CloudError } from "./cloud-error.ts";
import { parse } from "./enrollment-spec.ts";
import { parseJson, type JsonValue } from "./json.ts";
import type { ServerClock } from "./server-clock.ts";

const longestPayloadBytes = 128 * 1024;
const seconds = (least: number): v.GenericSchema<number> =>
  v.pipe(v.number(), v.integer(), v.minValue(least), v.maxValue(300));
export const methodCall = v.strictObject({
  methodName: v.pipe(v.string(), v.minLength(1), v.maxLength(100)),
  payload: v.optional(v.custom<JsonValue>((value) => value !== undefined)),
  responseTimeoutInSeconds: v.optional(seconds(5)),
  connectTimeoutInSeconds: v.optional(seconds(0)),
});

/** The request of the service's own method API: `{"methodName":"reboot","payload":{"after":5}}`; 30 s and 0 s are the defaults. */
export type MethodCall = v.InferInput<typeof methodCall>;

export interface MethodResult {
  /** The device's own number. */
  readonly status: number;
  readonly payload: JsonValue;
}

/** A connected device that listens to method calls. */
export interface MethodListener {
  /** @param payload JSON text. */
  invoke(rid: string, methodName: string, payload: string): void;
}

interface PendingCall {
  readonly listener: MethodListener;
  answer(status: number, body: string): void;
}

/** Direct methods of one hub: from the caller to a listening device and back, or not. */
export class DirectMethods {
  readonly #clock: ServerClock;
  readonly #listeners = new Map<string, MethodListener>();
  readonly #arrivals = new Map<string, Set<() => void>>();
  readonly #pending = new Map<string, PendingCall>();

  constructor(clock: ServerClock) {
    this.#clock = clock;
  }

  /**
   * Calls a method and waits for the device's answer, whatever its status.
   * @throws CloudError 404 with 404103 when the device is not listening within the connect timeout, 504 with 504101 when it
   *   does not answer in time, 413 with 413001 for a payload above 128 KB, 400 for a call that makes no sense, 502 when the
   *   answer is no JSON or too large (the service's own answer is not documented).
   * @see https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-direct-methods
   */
  async call(deviceId: string, input: MethodCall): Promise<MethodResult> {
    const call = parse(methodCall, input);
    const payload = JSON.stringify(call.payload ?? null);
    if (Buffer.byteLength(payload) > longestPayloadBytes) {
      throw new CloudError(413, "payload: larger than 128 KB", 413_001);
    }
    const listener = await this.#reach(deviceId, call.connectTimeoutInSeconds ?? 0);
    if (listener === undefined) throw new CloudError(404, `device ${deviceId} is not online`, 404_103);
    const rid = randomBytes(4).toString("hex");
    const answered = Promise.withResolvers<{ readonly status: number; readonly body: string } | undefined>();
    this.#pending.set(rid, { listener, answer: (status, body) => answered.resolve({ status, body }) });
    const timeoutMs = (call.responseTimeoutInSeconds ?? 30) * 1000;
    const cancel = this.#clock.at(this.#clock.now() + timeoutMs, () => answered.resolve(undefined));
    try {
      listener.invoke(rid, call.methodName, payload);
      const answer = await answered.promise;
      if (answer === undefined) {
        throw new CloudError(504, `device ${deviceId} did not answer within ${timeoutMs / 1000} s`, 504_101);
      }
      return readAnswer(answer.status, answer.body);
    } finally {
      cancel();
      this.#pending.delete(rid);
    }
  }

  /** A device has begun to listen. @returns how to say that it has stopped. */
  attach(deviceId: string, listener: MethodListener): () => void {
    this.#listeners.set(deviceId, listener);
    for (const arrived of this.#arrivals.get(deviceId) ?? []) arrived();
    return () => {
      // A successor with the same ID may have come first.
      if (this.#listeners.get(deviceId) === listener) this.#listeners.delete(deviceId);
    };
  }

  /** @returns false when nobody waits for this answer: unknown, too late, or of an earlier connection. */
  answer(listener: MethodListener, rid: string, status: number, body: string): boolean {
    const call = this.#pending.get(rid);
    if (call?.listener !== listener) return false;
    call.answer(status, body);
    return true;
  }

  async #reach(deviceId: string, timeoutSeconds: number): Promise<MethodListener | undefined> {
    const present = this.#listeners.get(deviceId);
    if (present !== undefined || timeoutSeconds === 0) return present;
    const arrival = Promise.withResolvers<void>();
    const waiting = this.#arrivals.get(deviceId) ?? new Set();
    this.#arrivals.set(deviceId, waiting.add(arrival.resolve));
    const cancel = this.#clock.at(this.#clock.now() + timeoutSeconds * 1000, arrival.resolve);
    await arrival.promise;
    cancel();
    waiting.delete(arrival.resolve);
    return this.#listeners.get(deviceId);
  }
}

function readAnswer(status: number, body: string): MethodResult {
  if (Buffer.byteLength(body) > longestPayloadBytes) {
    throw new CloudError(502, "the device answered with more than 128 KB");
  }
  const payload = parseJson(body);
  if (payload === undefined) throw new CloudError(502, "the device answered with something that is not JSON");
  return { status, payload };
}
