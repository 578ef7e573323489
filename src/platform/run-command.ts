import { spawn, type ChildProcess } from "node:child_process";
import { isAbsolute } from "node:path";
import type { Writable } from "node:stream";
import { keepEnd, keepStart, lastLine } from "./command-output.ts";
import { killed, notAbsolute, notStarted, timedOut, unexpectedExit } from "./command-failure.ts";
import { AgentError, systemCode } from "./failure.ts";

export interface Command {
  /** Absolute path; nothing is searched. */
  readonly file: string;
  readonly args: readonly string[];
  /** Written to standard input, which is then closed; /dev/null where absent. The way for secrets: others can read `args`. */
  readonly stdin?: string | Uint8Array;
  /** In addition to `LC_ALL` and `PATH`. Nothing is inherited from the agent. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly timeoutMs: number;
  /** From SIGTERM to SIGKILL. */
  readonly killAfterMs?: number;
  /** Of each stream. What is beyond is read and dropped: standard output keeps its start, standard error its end. */
  readonly maxOutputBytes?: number;
  /** Where given, any other exit code is thrown; where absent, every exit code is a result. */
  readonly expectedExitCodes?: readonly number[];
}

export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly isStdoutTruncated: boolean;
  readonly stderr: string;
  /** The last line of standard error that is not empty: usually the reason. "" where there is none. */
  readonly lastStderrLine: string;
}

/** The whole environment of every command, but for `env`: the path is what systemd gives its services. */
export const commandEnvironment = {
  LC_ALL: "C",
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
} as const;
const defaultKillAfterMs = 5_000;
const defaultMaxOutputBytes = 1024 * 1024;
/** A process that left the group can hold the pipes open; so long is waited for the rest of the output. */
const drainMs = 1_000;
/** setTimeout takes no more and would fire at once. */
const maxTimerMs = 2 ** 31 - 1;

/**
 * Runs one program without a shell, in a process group of its own, and waits until it has ended.
 *
 * On timeout or abort the group gets SIGTERM, later SIGKILL; the first reason is the one that is thrown. What the program leaves
 * behind in its group when it exits is killed.
 * @throws AgentError `platform/command-not-found` (operator: missing, not executable, or not absolute),
 *   `platform/command-not-started` (retry: no memory, too many processes), `platform/command-timeout` (retry),
 *   `platform/command-killed` (retry: ended by a signal, or aborted), `platform/command-failed` (retry: not in
 *   `expectedExitCodes`). An abort reason that is an AgentError is thrown as it is.
 */
export async function runCommand(command: Command, signal: AbortSignal): Promise<CommandResult> {
  if (!isAbsolute(command.file)) throw notAbsolute(command.file);
  if (signal.aborted) throw stopReason(command, signal);
  const child = start(command);
  const maxBytes = command.maxOutputBytes ?? defaultMaxOutputBytes;
  const stdout = keepStart(child.stdout, maxBytes);
  const stderr = keepEnd(child.stderr, maxBytes);
  feed(child.stdin, command.stdin);
  const { exitCode, signalName } = await waitForEnd(child, command, signal);
  const errors = stderr();
  const lastStderrLine = lastLine(errors);
  if (exitCode === null)
    throw killed(command.file, `was killed by ${signalName ?? "a signal"}`, lastStderrLine);
  if (command.expectedExitCodes?.includes(exitCode) === false)
    throw unexpectedExit(command.file, exitCode, lastStderrLine);
  const { text, isTruncated } = stdout();
  return { exitCode, stdout: text, isStdoutTruncated: isTruncated, stderr: errors, lastStderrLine };
}

function start(command: Command): ChildProcess {
  try {
    return spawn(command.file, command.args, {
      shell: false,
      detached: true,
      env: { ...commandEnvironment, ...command.env },
      stdio: [command.stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"],
      ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
    });
  } catch (error) {
    throw notStarted(command.file, error);
  }
}

interface End {
  readonly exitCode: number | null;
  readonly signalName: string | null;
}

async function waitForEnd(child: ChildProcess, command: Command, signal: AbortSignal): Promise<End> {
  const ended = Promise.withResolvers<End>();
  // Listened for from the start: where the pipes are closed already, "close" follows "exit" without a pause.
  const closed = Promise.withResolvers<void>();
  child.once("close", () => {
    closed.resolve();
  });
  let reason: AgentError | undefined;
  let killTimer: NodeJS.Timeout | undefined;
  const stop = (because: AgentError): void => {
    if (reason !== undefined) return;
    reason = because;
    signalGroup(child, "SIGTERM");
    killTimer = setTimeout(() => {
      signalGroup(child, "SIGKILL");
    }, command.killAfterMs ?? defaultKillAfterMs);
  };
  const onAbort = (): void => {
    stop(stopReason(command, signal));
  };
  const timer = setTimeout(
    () => {
      stop(timedOut(command.file, command.timeoutMs));
    },
    Math.min(command.timeoutMs, maxTimerMs),
  );
  signal.addEventListener("abort", onAbort, { once: true });
  child.once("error", (error) => {
    // Also emitted when a signal could not be sent; then the child has a pid and its exit is still to come.
    if (child.pid === undefined) ended.reject(notStarted(command.file, error));
  });
  child.once("exit", (exitCode, signalName) => {
    ended.resolve({ exitCode, signalName });
  });
  const disarm = (): void => {
    signal.removeEventListener("abort", onAbort);
    clearTimeout(timer);
    clearTimeout(killTimer);
  };
  const end = await ended.promise.finally(disarm);
  await drain(child, closed.promise);
  if (reason !== undefined) throw reason;
  return end;
}

/** Ends what is left of the group and waits for the rest of the output. */
async function drain(child: ChildProcess, closed: Promise<void>): Promise<void> {
  signalGroup(child, "SIGKILL");
  const timer = setTimeout(() => {
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.destroy();
  }, drainMs);
  await closed;
  clearTimeout(timer);
}

function signalGroup(child: ChildProcess, name: "SIGTERM" | "SIGKILL"): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, name);
  } catch (error) {
    // ESRCH: nobody left. EPERM: the rest of the group runs as another user, and is not ours to end.
    if (!["ESRCH", "EPERM"].includes(systemCode(error))) throw error;
  }
}

function feed(stdin: Writable | null, input: string | Uint8Array | undefined): void {
  // A program may end without reading its input: EPIPE says nothing that the exit code does not say.
  stdin?.on("error", () => {});
  stdin?.end(input);
}

function stopReason(command: Command, signal: AbortSignal): AgentError {
  return signal.reason instanceof AgentError
    ? signal.reason
    : killed(command.file, "was stopped", "", signal.reason);
}
