import { randomUUID } from "node:crypto";
import { within } from "../platform/abort.ts";
import { AgentError } from "../platform/failure.ts";
import type { Link } from "../mqtt/link.ts";

export interface TwinReply {
  readonly status: number;
  readonly retryAfterMs?: number;
  /** Of the reported properties, where this answers a patch. */
  readonly version?: number;
  readonly body: Uint8Array;
}

/** How long one try of a twin request may take. */
const answerTimeoutMs = 30_000;

/** The hub acknowledges a request and forgets it at times: then it is asked once more before the session counts as broken. */
const tries = 2;

/** The twin requests under way on one link, matched with their answers by `$rid`. Dies with its session. */
export class Requests {
  readonly #waiting = new Map<string, (reply: TwinReply) => void>();

  /**
   * Publishes one request and waits for its answer; asks a second time after 30 s. An answer to either try will do: a twin is newer
   * than its patches that follow, and a patch is the same twice.
   * @throws AgentError `hub/no-answer` (retry); whatever ends the link.
   */
  async ask(
    link: Link,
    topicFor: (rid: string) => string,
    body: string,
    signal: AbortSignal,
  ): Promise<TwinReply> {
    const rids: string[] = [];
    const { promise, resolve } = Promise.withResolvers<TwinReply>();
    try {
      for (;;) {
        // Never used before, also in no earlier session: the hub keeps what that one left unacknowledged and delivers it to this one.
        const rid = randomUUID();
        rids.push(rid);
        this.#waiting.set(rid, resolve);
        await link.publish(topicFor(rid), body, signal);
        try {
          return await within(answerTimeoutMs, noAnswer, promise, link.lost, signal);
        } catch (error) {
          if (!(error instanceof AgentError) || error.code !== "hub/no-answer" || rids.length === tries)
            throw error;
        }
      }
    } finally {
      for (const rid of rids) this.#waiting.delete(rid);
    }
  }

  /** Hands an answer to who waits for it; an unknown `rid` is nobody's. */
  settle(rid: string, reply: TwinReply): void {
    this.#waiting.get(rid)?.(reply);
  }
}

function noAnswer(): AgentError {
  const message = `the hub acknowledged a twin request but did not answer it within ${answerTimeoutMs / 1000} s, ${tries} times in a row`;
  return new AgentError("hub/no-answer", "retry", message);
}
