import { within } from "../platform/abort.ts";
import { parseJson } from "../platform/json.ts";
import type { Json } from "../platform/json.ts";

/** A direct method as somebody in the cloud called it. */
export interface MethodCall {
  readonly name: string;
  /** Parsed JSON, not yet checked; null where there is none. */
  readonly payload: unknown;
}

export interface MethodAnswer {
  /** As in HTTP; the caller sees it. */
  readonly status: number;
  readonly payload: Json;
  /** What follows once the answer has left, for methods that end the session. */
  readonly afterwards?: () => void;
}

/** Must answer everything, unknown names too; the signal is aborted when nobody waits for the answer any more. */
export type AnswerMethod = (call: MethodCall, signal: AbortSignal) => Promise<MethodAnswer>;

/** Sends an answer to the hub; resolves when it has arrived there. */
type SendAnswer = (rid: string, status: number, payload: Json) => Promise<void>;

/** At the same time. Each is short; more than these are a fault or an attack. */
const mostCalls = 4;

/** The hub's caller waits for 30 s unless told otherwise: an answer after that reaches nobody. */
const answerWithinMs = 30_000;

/** A call takes no more than 128 KB at the hub; nothing here needs that much. */
const maxPayloadBytes = 16 * 1024;

/** The calls under way in one session. Everything is answered: what is too much at once, too large or no JSON, immediately. */
export class MethodCalls {
  readonly #answer: AnswerMethod;
  readonly #send: SendAnswer;
  #active = 0;

  constructor(answer: AnswerMethod, send: SendAnswer) {
    this.#answer = answer;
    this.#send = send;
  }

  /** Resolves once the answer has left. @throws what sending throws, and bugs. */
  async take(rid: string, name: string, body: Uint8Array): Promise<void> {
    const payload = body.byteLength === 0 ? null : parseJson(body);
    if (body.byteLength > maxPayloadBytes || payload === undefined) {
      const error = payload === undefined ? "the payload is not JSON" : "the payload is larger than 16 KiB";
      return this.#send(rid, 400, { error });
    }
    if (this.#active >= mostCalls) {
      return this.#send(rid, 429, { error: `${mostCalls} methods run already; call again in a moment` });
    }
    this.#active += 1;
    let answer: MethodAnswer;
    try {
      answer = await this.#inTime({ name, payload });
    } finally {
      this.#active -= 1;
    }
    await this.#send(rid, answer.status, answer.payload);
    answer.afterwards?.();
  }

  /** A method that never answers gives its place back; what it answers later belongs to nobody. */
  async #inTime(call: MethodCall): Promise<MethodAnswer> {
    const late = new Error("late");
    const over = new AbortController();
    try {
      return await within(answerWithinMs, () => late, this.#answer(call, over.signal));
    } catch (error) {
      if (error !== late) throw error;
      return { status: 504, payload: { error: `no answer within ${answerWithinMs / 1000} s` } };
    } finally {
      over.abort(late);
    }
  }
}
