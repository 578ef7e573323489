import { spawnSync, type SpawnSyncReturns } from "node:child_process";
import { isAbsolute } from "node:path";
import { killed, notAbsolute, notStarted, timedOut, unexpectedExit } from "./command-failure.ts";
import { lastLine } from "./command-output.ts";
import { systemCode } from "./failure.ts";
import { commandEnvironment, type Command, type CommandResult } from "./run-command.ts";

/** What a program may write here, each stream; more is taken for a program that runs wild. */
const maxOutputBytes = 1024 * 1024;

type SyncCommand = Pick<
  Command,
  "file" | "args" | "stdin" | "env" | "cwd" | "timeoutMs" | "expectedExitCodes"
>;
type SyncResult = Pick<CommandResult, "exitCode" | "stdout" | "stderr" | "lastStderrLine">;

/**
 * As `runCommand`, and the whole process waits for it: only where the answer is needed before anything else may happen, as a
 * signature within a TLS handshake.
 *
 * A program that takes too long or writes more than 1 MiB gets SIGKILL at once, and only the program itself: nobody could wait
 * for its group meanwhile.
 * @throws AgentError as `runCommand`; for too much output `platform/command-killed` (retry).
 */
export function runCommandSync(command: SyncCommand): SyncResult {
  const { file, timeoutMs } = command;
  if (!isAbsolute(file)) throw notAbsolute(file);
  const end = start(command);
  // Where the program could not be started there are no streams, though the types promise them.
  const stderr = end.stderr?.toString("utf8") ?? "";
  const lastStderrLine = lastLine(stderr);
  const code = systemCode(end.error);
  if (code === "ETIMEDOUT") throw timedOut(file, timeoutMs);
  if (code === "ENOBUFS") throw killed(file, `wrote more than ${maxOutputBytes} bytes`, "", end.error);
  // A program that ends without reading its input breaks the pipe: its exit code says more.
  if (end.error !== undefined && code !== "EPIPE") throw notStarted(file, end.error);
  if (end.status === null) throw killed(file, `was killed by ${end.signal ?? "a signal"}`, lastStderrLine);
  if (command.expectedExitCodes?.includes(end.status) === false)
    throw unexpectedExit(file, end.status, lastStderrLine);
  return { exitCode: end.status, stdout: end.stdout.toString("utf8"), stderr, lastStderrLine };
}

function start({ file, args, stdin, env, cwd, timeoutMs }: SyncCommand): SpawnSyncReturns<Buffer> {
  try {
    return spawnSync(file, args, {
      shell: false,
      env: { ...commandEnvironment, ...env },
      stdio: [stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"],
      timeout: timeoutMs,
      killSignal: "SIGKILL",
      maxBuffer: maxOutputBytes,
      ...(stdin === undefined ? {} : { input: stdin }),
      ...(cwd === undefined ? {} : { cwd }),
    });
  } catch (error) {
    throw notStarted(file, error);
  }
}
