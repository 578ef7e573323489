import type { CloudMessage, Listeners } from "../hub/callers.ts";
import type { Session } from "../hub/session.ts";
import { AgentError } from "../platform/failure.ts";
import type { Parts } from "./parts.ts";

/** After a PUBACK that did not come while the session lives. */
const sendAgainMs = 10_000;

/** What goes on beside the twin for as long as a session lasts: direct methods, messages from the cloud, telemetry. */
export class Attendance {
  readonly #session: Session;
  readonly #parts: Parts;
  readonly #over = new AbortController();
  #hasBegun = false;

  constructor(session: Session, parts: Parts) {
    this.#session = session;
    this.#parts = parts;
    parts.desk.noteConnected();
  }

  /** Called when the twin is in force: nothing of this may make a start slower. Later calls do nothing. */
  begin(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    void this.#listen(this.#over.signal);
    void this.#send(this.#over.signal);
  }

  async #listen(signal: AbortSignal): Promise<void> {
    const { desk, log } = this.#parts;
    await this.#whileItLasts(signal, async () => {
      const refused = await this.#session.listen(this.#listeners(), signal);
      desk.noteLimits(refused.map(({ message }) => message));
      for (const error of refused) log.warning("hub.degraded", { error });
    });
  }

  #listeners(): Listeners {
    const { answerMethod, onMessage, log, desk } = this.#parts;
    return {
      answerMethod: async (call, signal) => {
        const answer = await answerMethod(call, signal);
        desk.counters.add("method_calls", { status: String(answer.status) });
        log.notice("method.answered", { name: call.name.slice(0, 64), status: answer.status });
        return answer;
      },
      onMessage: (message: CloudMessage) => {
        desk.counters.add("cloud_messages");
        onMessage(message);
      },
      onTrouble: (error) => {
        log.warning("method.answer-lost", { error });
      },
    };
  }

  async #send(signal: AbortSignal): Promise<void> {
    const { desk, log, clock } = this.#parts;
    for (;;) {
      await this.#whileItLasts(signal, async () => {
        for (;;) {
          const message = await desk.outbox.next(signal);
          await this.#session.send(message, signal);
          desk.outbox.markSent(message);
          log.debug("telemetry.sent", { bytes: message.body.length });
        }
      });
      if (signal.aborted || this.#session.lost.aborted) return;
      await this.#whileItLasts(signal, async () => clock.sleep(sendAgainMs, signal));
    }
  }

  /** The end of the session is told elsewhere. */
  async #whileItLasts(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (signal.aborted || this.#session.lost.aborted) return;
      if (!(error instanceof AgentError)) throw error;
      this.#parts.log.warning("hub.degraded", { error });
    }
  }

  [Symbol.dispose](): void {
    this.#over.abort(new Error("the session is over"));
  }
}
