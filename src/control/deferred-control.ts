import { AgentError } from "../platform/failure.ts";
import type { ControlledAgent } from "./controlled-agent.ts";

/** So long after the start the socket is there in any case. */
const latestMs = 2_000;

/**
 * The control socket, opened once the agent is past its start: connected, or waiting for something. Until then nothing of it is loaded.
 * What keeps it from opening is told and costs nothing else.
 */
export class DeferredControl implements AsyncDisposable {
  readonly #agent: ControlledAgent;
  readonly #open: () => Promise<AsyncDisposable>;
  readonly #unwatch: () => void;
  readonly #timer: NodeJS.Timeout;
  #opened: Promise<AsyncDisposable | undefined> | undefined;

  constructor(agent: ControlledAgent, open: () => Promise<AsyncDisposable>) {
    this.#agent = agent;
    this.#open = open;
    this.#unwatch = agent.desk.watchHealth(() => {
      const { at } = agent.desk.health;
      if (at === "connected" || at === "waiting") this.#begin();
    });
    this.#timer = setTimeout(() => this.#begin(), latestMs);
  }

  #begin(): void {
    this.#stopWaiting();
    this.#opened ??= this.#tryOpen();
  }

  async #tryOpen(): Promise<AsyncDisposable | undefined> {
    try {
      return await this.#open();
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      this.#agent.log.error("control.not-opened", { error });
      return undefined;
    }
  }

  #stopWaiting(): void {
    this.#unwatch();
    clearTimeout(this.#timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopWaiting();
    await (await this.#opened)?.[Symbol.asyncDispose]();
  }
}
