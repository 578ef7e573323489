import type { LineSink } from "./log.ts";

/** Hands finished log lines to whoever listens, besides to where they go anyway. Costs nothing while nobody does. */
export class EventFeed {
  readonly #listeners = new Set<(json: string) => void>();

  /** The lines without syslog's `<5>` in front: JSON. A listener must not log. @returns how to stop. */
  listen(listener: (json: string) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  tap(sink: LineSink): LineSink {
    return {
      write: (line) => {
        sink.write(line);
        if (this.#listeners.size === 0) return;
        const json = line.slice(line.indexOf("{"));
        for (const listener of this.#listeners) listener(json);
      },
    };
  }
}
