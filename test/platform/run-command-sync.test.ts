import { describe, expect, test } from "vitest";
import { AgentError } from "../../src/platform/failure.ts";
import { runCommandSync } from "../../src/platform/run-command-sync.ts";

type SyncCommand = Parameters<typeof runCommandSync>[0];

function sh(script: string, more: Partial<SyncCommand> = {}): SyncCommand {
  return { file: "/bin/sh", args: ["-c", script], timeoutMs: 10_000, ...more };
}

function failureOf(command: SyncCommand): AgentError {
  try {
    runCommandSync(command);
  } catch (error) {
    if (error instanceof AgentError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

describe("what fails while everything waits", () => {
  test.each([
    ["a relative path", { file: "sh" }],
    ["a missing program", { file: "/nonexistent/program" }],
    ["a folder", { file: "/usr" }],
    ["a missing working directory", { file: "/bin/sh", cwd: "/nonexistent" }],
  ])("%s is not found", (_, part) => {
    const error = failureOf({ args: [], timeoutMs: 1_000, ...part });
    expect(error).toMatchObject({ code: "platform/command-not-found", remedy: "operator" });
    expect(error.message).toContain(part.file);
  });

  test("arguments that the system refuses are a failure of the command, not a crash", () => {
    const error = failureOf({ file: "/bin/true", args: ["a\0b"], timeoutMs: 1_000 });
    expect(error.code).toBe("platform/command-not-started");
  });

  test("a program that does not even listen to SIGTERM is ended in time, and the message names the limit", () => {
    const start = performance.now();
    const error = failureOf(sh("trap '' TERM; while :; do sleep 0.05; done", { timeoutMs: 200 }));
    expect(error).toMatchObject({ code: "platform/command-timeout", remedy: "retry" });
    expect(error.message).toContain("200 ms");
    expect(performance.now() - start).toBeLessThan(5_000);
  });

  test("a program that writes without end is stopped", () => {
    const error = failureOf({ file: "/usr/bin/yes", args: [], timeoutMs: 10_000 });
    expect(error).toMatchObject({ code: "platform/command-killed" });
    expect(error.message).toContain("1048576 bytes");
  });

  test("a program that is killed, or ends as nobody expected, says its last line", () => {
    expect(failureOf(sh("echo why >&2; kill -9 $$")).message).toMatch(/was killed by SIGKILL: why$/);
    const failed = failureOf(sh("echo why >&2; exit 3", { expectedExitCodes: [0] }));
    expect(failed).toMatchObject({ code: "platform/command-failed" });
    expect(failed.message).toBe("/bin/sh exited with 3: why");
  });
});

test("what it writes, reads and inherits is as with the runner that is waited for", () => {
  const result = runCommandSync(sh("cat; env; echo last >&2; exit 7", { stdin: "in\n", env: { MORE: "1" } }));
  expect(result).toMatchObject({ exitCode: 7, lastStderrLine: "last" });
  const lines = result.stdout.split("\n");
  expect(lines[0]).toBe("in");
  expect(lines.filter((line) => /^(LC_ALL|MORE|HOME)=/.test(line)).toSorted()).toEqual([
    "LC_ALL=C",
    "MORE=1",
  ]);
});

test("a program may end without reading what it was given", () => {
  expect(runCommandSync(sh("exit 0", { stdin: Buffer.alloc(1_000_000) })).exitCode).toBe(0);
});
