import { logLevels, type LogLevel } from "../platform/log.ts";
import type { Applier, Step } from "./applier.ts";

/** What the component `latebind` can change in the running agent. */
export interface AgentSettings {
  /** Undefined: back to what the local configuration says. */
  setLogLevel(level: LogLevel | undefined): void;
}

/**
 * The settings of the component `latebind`, by name: `{"latebind":{"__t":"c","logLevel":"debug"}}`.
 *
 * They live in the process, so they are set again at each start, and fall back to the local configuration when desired no
 * longer has them.
 */
export function createAgentSettings(settings: AgentSettings): ReadonlyMap<string, Applier> {
  return new Map([["logLevel", createLogLevelApplier(settings)]]);
}

function createLogLevelApplier(settings: AgentSettings): Applier<LogLevel, Step & { level: LogLevel }> {
  let current: LogLevel | undefined;
  return {
    fingerprint: "agent-settings/log-level",
    isDurable: false,
    async parse(value) {
      const level = logLevels.find((known) => known === value);
      return level === undefined
        ? { status: "rejected", problems: [`logLevel: expected one of ${logLevels.join(", ")}`] }
        : { status: "parsed", value: level };
    },
    plan: (level) => [{ says: `log from ${level} on`, level }],
    async execute(steps, signal) {
      signal.throwIfAborted();
      const before = current;
      for (const { level } of steps) {
        // Set even when it looks the same: a reload of the configuration may have changed it meanwhile.
        settings.setLogLevel(level);
        current = level;
      }
      return before === current ? { status: "unchanged" } : { status: "applied", changed: ["log level"] };
    },
    async withdraw() {
      current = undefined;
      settings.setLogLevel(undefined);
    },
  };
}
