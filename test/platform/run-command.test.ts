import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AgentError } from "../../src/platform/failure.ts";
import { runCommand, type Command } from "../../src/platform/run-command.ts";

const never = new AbortController().signal;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "latebind-run-command-"));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

/** The script runs in a shell of the test's choice; runCommand itself uses none. */
function sh(script: string, more: Partial<Command> = {}): Command {
  return { file: "/bin/sh", args: ["-c", script], timeoutMs: 10_000, ...more };
}

async function failureOf(work: Promise<unknown>): Promise<AgentError> {
  const error: unknown = await work.then(
    () => new Error("it did not fail"),
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(AgentError);
  if (!(error instanceof AgentError)) throw new Error("unreachable");
  return error;
}

/** A zombie that nobody has collected yet is dead. */
async function isAlive(pid: number): Promise<boolean> {
  try {
    return !/^State:\s+Z/m.test(await readFile(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

describe("what cannot be started", () => {
  test.each([
    ["a relative path", { file: "sh" }],
    ["a missing program", { file: "/nonexistent/program" }],
    ["a folder", { file: "/usr" }],
    ["a missing working directory", { file: "/bin/sh", cwd: "/nonexistent" }],
  ])("%s is not found", async (_, part) => {
    const error = await failureOf(runCommand({ args: [], timeoutMs: 1_000, ...part }, never));
    expect(error).toMatchObject({ code: "platform/command-not-found", remedy: "operator" });
    expect(error.message).toContain(part.file);
  });

  test("a file without the executable bit is not found, and the message says why", async () => {
    const file = join(folder, "plain");
    await writeFile(file, "#!/bin/sh\n");
    await chmod(file, 0o644);
    const error = await failureOf(runCommand({ file, args: [], timeoutMs: 1_000 }, never));
    expect(error.code).toBe("platform/command-not-found");
    expect(error.message).toContain("may not be executed");
  });

  test("arguments that the system refuses are a failure of the command, not a crash", async () => {
    const error = await failureOf(runCommand({ file: "/bin/true", args: ["a\0b"], timeoutMs: 1_000 }, never));
    expect(error.code).toBe("platform/command-not-started");
  });

  test("nothing starts once the signal is aborted", async () => {
    const reason = new AgentError("agent/stopping", "stop", "the agent stops");
    const file = join(folder, "must-not-exist");
    const error = await failureOf(runCommand(sh(`touch ${file}`), AbortSignal.abort(reason)));
    expect(error).toBe(reason);
    await expect(runCommand(sh(`test -e ${file}`), never)).resolves.toMatchObject({ exitCode: 1 });
  });
});

describe("what does not end by itself", () => {
  test("a program that takes too long is ended, and the message names the limit", async () => {
    const error = await failureOf(runCommand(sh("exec sleep 60", { timeoutMs: 50 }), never));
    expect(error).toMatchObject({ code: "platform/command-timeout", remedy: "retry" });
    expect(error.message).toContain("50 ms");
  });

  test("a program that ignores SIGTERM gets SIGKILL, and the first reason is the one that counts", async () => {
    const controller = new AbortController();
    const script = "trap '' TERM; while :; do sleep 0.05; done";
    const work = failureOf(runCommand(sh(script, { timeoutMs: 50, killAfterMs: 200 }), controller.signal));
    // After the timeout, before the kill.
    setTimeout(() => {
      controller.abort(new AgentError("agent/stopping", "stop", "too late to be the reason"));
    }, 120);
    expect((await work).code).toBe("platform/command-timeout");
  });

  test("a program that ends in peace after SIGTERM was still too late", async () => {
    const script = "trap 'exit 0' TERM; while :; do sleep 0.02; done";
    const error = await failureOf(runCommand(sh(script, { timeoutMs: 200 }), never));
    expect(error.code).toBe("platform/command-timeout");
  });

  test("an abort ends the whole group, children included", async () => {
    const controller = new AbortController();
    const reason = new AgentError("agent/stopping", "stop", "the agent stops");
    const pidFile = join(folder, "child.pid");
    const script = `sleep 60 & echo $! > ${pidFile}; wait`;
    const work = failureOf(runCommand(sh(script), controller.signal));
    await runCommand(sh(`until test -s ${pidFile}; do sleep 0.02; done`), never);
    const { stdout } = await runCommand({ file: "/bin/cat", args: [pidFile], timeoutMs: 1_000 }, never);
    expect(await isAlive(Number(stdout))).toBe(true);
    controller.abort(reason);
    expect(await work).toBe(reason);
    await expect.poll(() => isAlive(Number(stdout))).toBe(false);
  });

  test("an abort for a foreign reason is told as a kill", async () => {
    const error = await failureOf(runCommand(sh("exec sleep 60"), AbortSignal.timeout(50)));
    expect(error.code).toBe("platform/command-killed");
  });

  test("a program killed by somebody else is told with the signal's name", async () => {
    const error = await failureOf(runCommand(sh("echo broken >&2; kill -SEGV $$"), never));
    expect(error.code).toBe("platform/command-killed");
    expect(error.message).toMatch(/SIGSEGV.*broken/);
  });

  test("what a finished program leaves behind in its group is ended and does not hold us", async () => {
    const { stdout } = await runCommand(sh("sleep 60 & echo $!"), never);
    await expect.poll(() => isAlive(Number(stdout))).toBe(false);
  });

  test("a process that left the group and keeps the pipes open holds us for a second at most", async () => {
    const marker = join(folder, "left-the-group");
    const script = `setsid sh -c 'touch ${marker}; exec sleep 30' & until test -e ${marker}; do sleep 0.02; done; echo $!`;
    const { exitCode, stdout } = await runCommand(sh(script), never);
    expect(exitCode).toBe(0);
    process.kill(Number(stdout));
  });
});

describe("input and output", () => {
  test("a program that closes its input early does not disturb us", async () => {
    const result = await runCommand(
      sh("exec 0<&-; sleep 0.1; exit 3", { stdin: "x".repeat(1_000_000) }),
      never,
    );
    expect(result.exitCode).toBe(3);
  });

  test("a program that closes its output early still has its exit code", async () => {
    const result = await runCommand(sh("exec 1>&- 2>&-; sleep 0.1; exit 4"), never);
    expect(result.exitCode).toBe(4);
  });

  test("a flood is capped: the start of standard output and the end of standard error stay", async () => {
    const script =
      "echo first; head -c 3000000 /dev/zero | tr '\\0' x; head -c 3000000 /dev/zero | tr '\\0' y >&2; echo >&2; echo last >&2";
    const result = await runCommand(sh(script, { maxOutputBytes: 1_000 }), never);
    expect(result.stdout).toHaveLength(1_000);
    expect(result.stdout.startsWith("first\nx")).toBe(true);
    expect(result.isStdoutTruncated).toBe(true);
    expect(result.stderr).toHaveLength(1_000);
    expect(result.lastStderrLine).toBe("last");
  });

  test("output that fits exactly is not called truncated", async () => {
    const result = await runCommand(sh("printf 12345", { maxOutputBytes: 5 }), never);
    expect(result).toMatchObject({ stdout: "12345", isStdoutTruncated: false });
  });

  test("a large input arrives whole", async () => {
    const result = await runCommand(
      { file: "/usr/bin/wc", args: ["-c"], stdin: "x".repeat(300_000), timeoutMs: 5_000 },
      never,
    );
    expect(Number(result.stdout)).toBe(300_000);
  });

  test("the environment is ours and nothing else", async () => {
    process.env["LATEBIND_TEST_LEAK"] = "yes";
    const result = await runCommand(
      { file: "/usr/bin/env", args: [], env: { GIVEN: "1" }, timeoutMs: 5_000 },
      never,
    );
    delete process.env["LATEBIND_TEST_LEAK"];
    const names = result.stdout
      .trim()
      .split("\n")
      .map((line) => line.split("=")[0]);
    expect(new Set(names)).toEqual(new Set(["GIVEN", "LC_ALL", "PATH"]));
    expect(result.stdout).toContain("LC_ALL=C\n");
  });

  test("arguments are not seen by any shell", async () => {
    const result = await runCommand(
      { file: "/bin/echo", args: ["$(id)", "; rm -rf x", "*"], timeoutMs: 5_000 },
      never,
    );
    expect(result.stdout).toBe("$(id) ; rm -rf x *\n");
  });

  test("a timeout longer than a timer can hold does not fire at once", async () => {
    const result = await runCommand(sh("sleep 0.1; exit 0", { timeoutMs: 2 ** 40 }), never);
    expect(result.exitCode).toBe(0);
  });
});

describe("exit codes", () => {
  test("a non-zero exit is a result, with the last line that says something", async () => {
    const result = await runCommand(sh("echo one >&2; echo two >&2; echo >&2; exit 7"), never);
    expect(result).toMatchObject({ exitCode: 7, stderr: "one\ntwo\n\n", lastStderrLine: "two" });
  });

  test("an exit code that was not expected is a failure with the last line of standard error", async () => {
    const command = sh("echo no such handle >&2; exit 2", { expectedExitCodes: [0, 1] });
    const error = await failureOf(runCommand(command, never));
    expect(error.code).toBe("platform/command-failed");
    expect(error.message).toContain("exited with 2: no such handle");
  });

  test("an expected exit code is a result", async () => {
    await expect(runCommand(sh("exit 1", { expectedExitCodes: [0, 1] }), never)).resolves.toMatchObject({
      exitCode: 1,
    });
  });
});
