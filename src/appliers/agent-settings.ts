import { parseDuration } from "../platform/duration.ts";
import type { Json } from "../platform/json.ts";
import { logLevels, type LogLevel } from "../platform/log.ts";
import type { Applier, Step } from "./applier.ts";

/** What the component `latebind` can change in the running agent. Undefined: back to what the local configuration says. */
export interface AgentSettings {
  setLogLevel(level: LogLevel | undefined): void;
  setHeartbeat(everyMs: number | undefined): void;
  /** From the next session on. */
  setKeepAlive(mostMs: number | undefined): void;
}

/** Not so often that a mistake in the cloud costs a fleet its quota. */
const heartbeatMs = { least: 10_000, most: 24 * 60 * 60_000 };

/** As the local configuration's: whatever the twin says within, a line that dies of silence is noticed, and the device comes back. */
const keepAliveMs = { least: 30_000, most: 1_177_000 };

/**
 * The settings of the component `latebind`, by name: `{"latebind":{"__t":"c","logLevel":"debug","heartbeat":"15m"}}`.
 *
 * They live in the process, so they are set again at each start, and fall back to the local configuration when desired no
 * longer has them.
 */
export function createAgentSettings(settings: AgentSettings): ReadonlyMap<string, Applier> {
  return new Map<string, Applier>([
    [
      "logLevel",
      createSetting<LogLevel>({
        fingerprint: "agent-settings/log-level",
        name: "log level",
        expected: `logLevel: expected one of ${logLevels.join(", ")}`,
        read: (value) => logLevels.find((known) => known === value),
        set: (level) => settings.setLogLevel(level),
      }),
    ],
    [
      "heartbeat",
      createSetting<number>({
        fingerprint: "agent-settings/heartbeat",
        name: "heartbeat",
        expected: 'heartbeat: expected a duration from 10s to 24h, such as "15m"',
        read: (value) => readDuration(value, heartbeatMs),
        set: (everyMs) => settings.setHeartbeat(everyMs),
      }),
    ],
    [
      "keepAlive",
      createSetting<number>({
        fingerprint: "agent-settings/keep-alive",
        name: "keep-alive",
        expected: 'keepAlive: expected a duration from 30s to 1177s, such as "3m"',
        read: (value) => readDuration(value, keepAliveMs),
        set: (mostMs) => settings.setKeepAlive(mostMs),
      }),
    ],
  ]);
}

function readDuration(
  value: Json,
  { least, most }: { readonly least: number; readonly most: number },
): number | undefined {
  const ms = typeof value === "string" ? parseDuration(value) : undefined;
  return ms !== undefined && ms >= least && ms <= most ? ms : undefined;
}

interface Setting<Value> {
  readonly fingerprint: string;
  readonly name: string;
  /** What is said of any other value. */
  readonly expected: string;
  /** Undefined where the value is not legal. */
  readonly read: (value: Json) => Value | undefined;
  readonly set: (value: Value | undefined) => void;
}

function createSetting<Value extends string | number>({
  fingerprint,
  name,
  expected,
  read,
  set,
}: Setting<Value>): Applier<Value, Step & { readonly value: Value }> {
  let current: Value | undefined;
  return {
    fingerprint,
    isDurable: false,
    async parse(given) {
      const value = read(given);
      return value === undefined ? { status: "rejected", problems: [expected] } : { status: "parsed", value };
    },
    plan: (value) => [{ says: `set the ${name} to ${value}`, value }],
    async execute(steps, signal) {
      signal.throwIfAborted();
      const before = current;
      for (const { value } of steps) {
        // Set even when it looks the same: a reload of the configuration may have changed it meanwhile.
        set(value);
        current = value;
      }
      return before === current ? { status: "unchanged" } : { status: "applied", changed: [name] };
    },
    async withdraw() {
      current = undefined;
      set(undefined);
    },
  };
}
