import { randomUUID } from "node:crypto";
import { within } from "../platform/abort.ts";
import { AgentError } from "../platform/failure.ts";
import type { Link } from "../mqtt/link.ts";

export interface TwinReply {
  readonly status: number;
  readonly retryAfterMs?: number;
  readonly body: Uint8Array;
}

/** How long a twin request may take before the session counts as broken. */
const answerTimeoutMs = 30_000;

/** The twin requests under way on one link, matched with their answers by `$rid`. Dies with its session. */
export class Requests {
  readonly #waiting = new Map<string, (reply: TwinReply) => void>();

  /**
   * Publishes one request and waits for its answer.
   * @throws AgentError `hub/no-answer` (retry); whatever ends the link.
   */
  async ask(
    link: Link,
    topicFor: (rid: string) => string,
    body: string,
    signal: AbortSignal,
  ): Promise<TwinReply> {
    // Never used before, also in no earlier session: the hub keeps what that one left unacknowledged and delivers it to this one.
    const rid = randomUUID();
    const { promise, resolve } = Promise.withResolvers<TwinReply>();
    this.#waiting.set(rid, resolve);
    try {
      await link.publish(topicFor(rid), body, signal);
      const late = () =>
        new AgentError("hub/no-answer", "retry", `the hub did not answer within ${answerTimeoutMs / 1000} s`);
      return await within(answerTimeoutMs, late, promise, link.lost, signal);
    } finally {
      this.#waiting.delete(rid);
    }
  }

  /** Hands an answer to who waits for it; an unknown `rid` is nobody's. */
  settle(rid: string, reply: TwinReply): void {
    this.#waiting.get(rid)?.(reply);
  }
}
