import { untilAborted } from "../platform/abort.ts";

/** Requests to load the configuration anew. One that comes while another is served is not lost; several become one. */
export class ReloadRequests {
  #wanted = Promise.withResolvers<undefined>();

  request(): void {
    this.#wanted.resolve(undefined);
  }

  /** True once there is a request, which is taken; false when the signal was aborted first. */
  async next(signal: AbortSignal): Promise<boolean> {
    try {
      await untilAborted(this.#wanted.promise, signal);
    } catch {
      return false;
    }
    this.#wanted = Promise.withResolvers();
    return true;
  }
}
