import { createLog, type Log, type LogLevel } from "../../src/platform/log.ts";

/** The real log, with its lines kept instead of printed. */
export class RecordingLog {
  readonly lines: string[] = [];
  readonly log: Log;
  #wake = Promise.withResolvers<undefined>();

  constructor(level: LogLevel = "debug") {
    const write = (line: string) => {
      this.lines.push(line);
      this.#wake.resolve(undefined);
      this.#wake = Promise.withResolvers();
    };
    this.log = createLog({ write }, level);
  }

  get events(): readonly Readonly<Record<string, unknown>>[] {
    return this.lines.map((line) => {
      const event: unknown = JSON.parse(line.slice(line.indexOf("{")));
      if (typeof event !== "object" || event === null) throw new Error(`no event: ${line}`);
      return { ...event };
    });
  }

  names(): readonly string[] {
    return this.events.map((event) => String(event["event"]));
  }

  /** Resolves once an event of this name was logged. */
  async until(name: string): Promise<void> {
    while (!this.names().includes(name)) await this.#wake.promise;
  }
}
