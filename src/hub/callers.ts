import { AgentError } from "../platform/failure.ts";
import type { Link } from "../mqtt/link.ts";
import { MethodCalls, type AnswerMethod } from "./methods.ts";
import { methodAnswerTopic, type Incoming, type MessageProperties } from "./wire.ts";

/** A message from the cloud to this device: taken once it is here, and not sent again. */
export interface CloudMessage extends MessageProperties {
  readonly body: Uint8Array;
}

/** Who takes what the cloud sends of its own accord. Neither may throw anything but bugs. */
export interface Listeners {
  readonly answerMethod: AnswerMethod;
  readonly onMessage: (message: CloudMessage) => void;
  /** What went wrong with an answer while the session lives. */
  readonly onTrouble: (error: AgentError) => void;
}

type Call = Extract<Incoming, { kind: "method" | "message" }>;

/** The hub lets 50 messages wait for a device, and may send them all at once to a session that it knows from before. */
const mostEarlyCalls = 64;

/** What comes before somebody listens waits here, and is then handed on. */
export class Callers {
  #early: { readonly call: Call; readonly body: Uint8Array }[] = [];
  #take: ((call: Call, body: Uint8Array) => void) | undefined;

  open(link: Link, { answerMethod, onMessage, onTrouble }: Listeners, signal: AbortSignal): void {
    const methods = new MethodCalls(answerMethod, async (rid, status, payload) =>
      link.publish(methodAnswerTopic(rid, status), JSON.stringify(payload), signal),
    );
    const answer = async (rid: string, name: string, body: Uint8Array): Promise<void> => {
      try {
        await methods.take(rid, name, body);
      } catch (error) {
        if (signal.aborted || link.lost.aborted) return;
        if (!(error instanceof AgentError)) throw error;
        onTrouble(error);
      }
    };
    this.#take = (call, body) => {
      if (call.kind === "method") void answer(call.rid, call.name, body);
      else onMessage({ ...call.about, body });
    };
    for (const { call, body } of this.#early) this.#take(call, body);
    this.#early = [];
  }

  take(call: Call, body: Uint8Array): void {
    if (this.#take !== undefined) this.#take(call, body);
    else if (this.#early.length < mostEarlyCalls) this.#early.push({ call, body });
  }
}
