import { pino } from "pino";
import { AgentError } from "./failure.ts";

export const logLevels: readonly ["error", "warning", "notice", "info", "debug"] = [
  "error",
  "warning",
  "notice",
  "info",
  "debug",
];
export type LogLevel = (typeof logLevels)[number];

export type Fields = Readonly<Record<string, unknown>>;

/**
 * An event in the past tense (`provisioning.assigned`), then fields. One line per event.
 *
 * error: somebody must act. warning: the agent mends it. notice: phases, reconnects, outcomes. info: attempts. debug: wire.
 */
export interface Log {
  error(event: string, fields?: Fields): void;
  warning(event: string, fields?: Fields): void;
  notice(event: string, fields?: Fields): void;
  info(event: string, fields?: Fields): void;
  debug(event: string, fields?: Fields): void;
  setLevel(level: LogLevel): void;
}

/** pino's numbers rise with gravity, syslog's priorities (sd-daemon(3)) fall. */
const pinoLevels: Readonly<Record<LogLevel, number>> = {
  error: 60,
  warning: 50,
  notice: 40,
  info: 30,
  debug: 20,
};
const syslogPriorities: ReadonlyMap<number, number> = new Map([
  [60, 3],
  [50, 4],
  [40, 5],
  [30, 6],
  [20, 7],
]);

/** Where finished lines go: synchronous, so that nothing is lost at SIGKILL. */
export interface LineSink {
  write(line: string): void;
}

/**
 * Pino behind the house's five levels: `<5>{"level":"notice","event":"hub.connected","hub":"…"}`. journald reads `<5>` as the priority and
 * stamps the time itself, so the line has none.
 */
export function createLog(sink: LineSink, level: LogLevel): Log {
  const logger = pino<LogLevel, true>(
    {
      base: null,
      timestamp: false,
      customLevels: pinoLevels,
      useOnlyCustomLevels: true,
      level,
      formatters: { level: (label) => ({ level: label }) },
    },
    sinkWithPriority(sink),
  );
  const write =
    (name: LogLevel) =>
    (event: string, fields: Fields = {}) => {
      logger[name]({ event, ...plain(fields) });
    };
  return {
    error: write("error"),
    warning: write("warning"),
    notice: write("notice"),
    info: write("info"),
    debug: write("debug"),
    setLevel(next) {
      logger.level = next;
    },
  };
}

/** pino tells a destination the level of the line that follows when it carries this symbol. */
function sinkWithPriority(sink: LineSink): LineSink & { lastLevel: number } {
  const destination = {
    lastLevel: 0,
    [Symbol.for("pino.metadata")]: true,
    write(line: string) {
      sink.write(`<${syslogPriorities.get(this.lastLevel) ?? 6}>${line}`);
    },
  };
  return destination;
}

/** Errors become code, remedy, message and the chain of causes; stacks belong to bugs only. */
function plain(fields: Fields): Fields {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [
      key,
      value instanceof Error ? describeError(value) : value,
    ]),
  );
}

/** Deeper chains of causes, and errors that cause themselves, are cut here. */
const maxCauses = 8;

function describeError(error: Error, depth = 0): Fields {
  const cause =
    error.cause instanceof Error && depth < maxCauses ? { cause: describeError(error.cause, depth + 1) } : {};
  if (error instanceof AgentError)
    return { code: error.code, remedy: error.remedy, message: error.message, ...cause };
  const code = "code" in error && typeof error.code === "string" ? { code: error.code } : {};
  return { ...code, message: error.message, ...cause };
}
