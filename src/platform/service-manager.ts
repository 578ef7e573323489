import { access } from "node:fs/promises";
import type { Fields, Log } from "./log.ts";
import { runCommand } from "./run-command.ts";

/** What the service manager is told; see sd_notify(3). Without systemd every call does nothing. */
export interface ServiceManager {
  ready(): void;
  /** One line for `systemctl status`. Repeating the last one costs nothing. */
  status(sentence: string): void;
  watchdog(): void;
  reloading(): void;
  stopping(): void;
  /** Lets the start take this much longer from now on. */
  extendStart(ms: number): void;
  /** Resolves when everything said so far has been delivered. */
  settled(): Promise<void>;
  /** How often the watchdog must be fed, in milliseconds; undefined where it is off. */
  readonly watchdogMs: number | undefined;
}

const programs = ["/usr/bin/systemd-notify", "/bin/systemd-notify"];
const timeoutMs = 5_000;

/**
 * Talks to systemd through the `systemd-notify` program: Node has no AF_UNIX datagram sockets. Messages leave one after
 * the other. As an ordinary user they carry the program's process ID, so the unit needs NotifyAccess=all.
 */
export function createServiceManager(
  environment: Readonly<Record<string, string | undefined>>,
  log: Log,
): ServiceManager {
  const socket = environment["NOTIFY_SOCKET"];
  const watchdogUsec = Number(environment["WATCHDOG_USEC"] ?? 0);
  let queue: Promise<void> = Promise.resolve();
  let lastStatus = "";
  let isBroken = false;
  // Looked for once: each look wakes two threads.
  let program: Promise<string> | undefined;
  const send = async (to: string, variables: readonly string[]): Promise<void> => {
    program ??= findProgram();
    const failure = await deliver(await program, to, variables);
    // Told once, not at each feeding of the watchdog.
    if (failure !== undefined && !isBroken) log.warning("platform.notify-failed", { variables, ...failure });
    isBroken = failure !== undefined;
  };
  const say = (...variables: readonly string[]) => {
    if (socket !== undefined) queue = queue.then(async () => send(socket, variables));
  };
  return {
    watchdogMs: socket !== undefined && watchdogUsec > 0 ? watchdogUsec / 1000 : undefined,
    ready: () => {
      say("READY=1");
    },
    status: (sentence) => {
      const line = sentence.replaceAll(/[\r\n]+/g, " ");
      if (line === lastStatus) return;
      lastStatus = line;
      say(`STATUS=${line}`);
    },
    watchdog: () => {
      say("WATCHDOG=1");
    },
    reloading: () => {
      // Type=notify-reload wants the moment on CLOCK_MONOTONIC, which is what hrtime reads.
      say("RELOADING=1", `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
    },
    stopping: () => {
      say("STOPPING=1");
    },
    extendStart: (ms) => {
      say(`EXTEND_TIMEOUT_USEC=${Math.ceil(ms * 1000)}`);
    },
    settled: async () => queue,
  };
}

/** @returns why it failed, for the log; undefined where it went well. */
async function deliver(
  file: string,
  socket: string,
  variables: readonly string[],
): Promise<Fields | undefined> {
  try {
    const command = { file, args: variables, env: { NOTIFY_SOCKET: socket }, timeoutMs };
    const result = await runCommand(command, new AbortController().signal);
    return result.exitCode === 0 ? undefined : { says: result.lastStderrLine };
  } catch (error) {
    return { error };
  }
}

async function findProgram(): Promise<string> {
  for (const program of programs) {
    try {
      await access(program);
      return program;
    } catch {
      // The next place.
    }
  }
  return "/usr/bin/systemd-notify";
}
