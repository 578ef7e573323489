import { spawn } from "node:child_process";
import { closeSync, constants, openSync, readFileSync, readSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { lineOutput } from "../../src/platform/line-output.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

test("a line is in the file when the call returns", () => {
  using folder = new TemporaryFolder();
  const descriptor = openSync(folder.join("log"), "w");
  const output = lineOutput(descriptor);
  output.write("one\n");
  expect(readFileSync(folder.join("log"), "utf8")).toBe("one\n");
  output.write("zwei äöü\n");
  expect(readFileSync(folder.join("log"), "utf8")).toBe("one\nzwei äöü\n");
  closeSync(descriptor);
});

test("a closed descriptor does not throw", () => {
  using folder = new TemporaryFolder();
  const descriptor = openSync(folder.join("log"), "w");
  closeSync(descriptor);
  expect(() => lineOutput(descriptor).write("lost\n")).not.toThrow();
});

test("a reader that has gone does not stop the process", async () => {
  const file = join(import.meta.dirname, "../../src/platform/line-output.ts");
  const script = `import { lineOutput } from ${JSON.stringify(file)};
    const output = lineOutput(1);
    process.stdin.once("data", () => { for (let n = 0; n < 3; n += 1) output.write("line\\n"); process.exit(7); });`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdout.destroy();
  const ended = Promise.withResolvers<number | null>();
  child.once("exit", (code) => ended.resolve(code));
  child.stdin.write("go\n");
  expect(await ended.promise).toBe(7);
});

test("a pipe that nobody empties neither blocks nor throws", () => {
  using folder = new TemporaryFolder();
  execFileSync("/usr/bin/mkfifo", [folder.join("pipe")]);
  const reader = openSync(folder.join("pipe"), constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = openSync(folder.join("pipe"), constants.O_WRONLY | constants.O_NONBLOCK);
  const output = lineOutput(writer);
  const line = `${"x".repeat(1_000)}\n`;
  for (let count = 0; count < 200; count += 1) output.write(line);
  const seen = Buffer.alloc(300_000);
  const length = readSync(reader, seen);
  expect(length).toBeGreaterThan(60_000);
  // The reader is back: what comes now is a line of its own.
  output.write("after\n");
  const rest = Buffer.alloc(10_000);
  const restLength = readSync(reader, rest);
  const lines = (seen.toString("utf8", 0, length) + rest.toString("utf8", 0, restLength)).split("\n");
  expect(lines.at(-2)).toBe("after");
  closeSync(reader);
  closeSync(writer);
});
