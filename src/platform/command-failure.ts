import { AgentError, systemCode } from "./failure.ts";

/*
 * What is said when a program could not be run to its end: the same words whether it was waited for or not.
 */

/** `platform/command-not-found` (operator). */
export function notAbsolute(file: string): AgentError {
  return new AgentError("platform/command-not-found", "operator", `${file}: not an absolute path`);
}

/** `platform/command-not-found` (operator) or `platform/command-not-started` (retry), by the system's code. */
export function notStarted(file: string, cause: unknown): AgentError {
  const code = systemCode(cause);
  if (code === "ENOENT" || code === "EACCES" || code === "ENOTDIR") {
    const what = code === "EACCES" ? "may not be executed" : "(or its working directory) does not exist";
    return new AgentError("platform/command-not-found", "operator", `${file} ${what}`, { cause });
  }
  const words = `${file} could not be started${code === "" ? "" : ` (${code})`}`;
  return new AgentError("platform/command-not-started", "retry", words, { cause });
}

/** `platform/command-timeout` (retry). */
export function timedOut(file: string, timeoutMs: number): AgentError {
  const message = describeEnd(file, `did not end within ${timeoutMs} ms`, "");
  return new AgentError("platform/command-timeout", "retry", message);
}

/** `platform/command-killed` (retry). */
export function killed(file: string, what: string, lastStderrLine: string, cause?: unknown): AgentError {
  return new AgentError("platform/command-killed", "retry", describeEnd(file, what, lastStderrLine), {
    cause,
  });
}

/** `platform/command-failed` (retry): its exit code was not expected. */
export function unexpectedExit(file: string, exitCode: number, lastStderrLine: string): AgentError {
  const message = describeEnd(file, `exited with ${exitCode}`, lastStderrLine);
  return new AgentError("platform/command-failed", "retry", message);
}

/** `/usr/bin/tool exited with 3: its last line` */
function describeEnd(file: string, what: string, lastStderrLine: string): string {
  return `${file} ${what}${lastStderrLine === "" ? "" : `: ${lastStderrLine}`}`;
}
