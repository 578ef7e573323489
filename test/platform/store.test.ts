import { spawn } from "node:child_process";
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isJson } from "../../src/platform/json.ts";
import { openStore } from "../../src/platform/store.ts";
import { anyJson } from "./any-json.ts";
import { RecordingLog } from "./recording-log.ts";
import { TemporaryFolder } from "./temporary-folder.ts";
import { open, slots, twoGenerations } from "./two-generations.ts";

describe("writing", () => {
  test("the value that was written last is read, by the same store and by the next process", async () => {
    using folder = new TemporaryFolder();
    const store = open(folder.path);
    expect(store.read()).toBeUndefined();
    for (const value of ["a", "b", "c", "d"]) {
      await store.write(value);
      expect(store.read()).toBe(value);
      expect(open(folder.path).read()).toBe(value);
    }
  });

  test("any JSON value comes back as it was, whatever its keys are called", async () => {
    await fc.assert(
      fc.asyncProperty(anyJson, async (value) => {
        using folder = new TemporaryFolder();
        await open(folder.path).write(value);
        expect(open(folder.path).read()).toEqual(value);
      }),
      { numRuns: 60 },
    );
  });

  test("an equal value writes nothing, whatever the order of its keys", async () => {
    using folder = new TemporaryFolder();
    const store = open(folder.path);
    await store.write({ one: 1, two: 2 });
    const look = () =>
      readdirSync(folder.path).map((name) => {
        const { ino, mtimeNs, size } = statSync(folder.join(name), { bigint: true });
        return { name, ino, mtimeNs, size };
      });
    const before = look();
    await store.write({ two: 2, one: 1 });
    expect(look()).toEqual(before);
    await store.write({ two: 2, one: 3 });
    expect(look()).not.toEqual(before);
  });

  test("the files turn: a write never touches the newest one", async () => {
    using folder = new TemporaryFolder();
    const { older, newer } = await twoGenerations(folder);
    const kept = readFileSync(newer, "utf8");
    await open(folder.path).write("third");
    expect(readFileSync(newer, "utf8")).toBe(kept);
    expect(readFileSync(older, "utf8")).toContain("third");
  });

  test("other users cannot read the files, also after their mode was widened", async () => {
    using folder = new TemporaryFolder();
    const { older } = await twoGenerations(folder);
    chmodSync(older, 0o644);
    await open(folder.path).write("third");
    for (const name of slots) expect(statSync(folder.join(name)).mode & 0o777).toBe(0o600);
  });

  test("what a kill left of a write is swept at the next start; files of others stay", async () => {
    using folder = new TemporaryFolder();
    await twoGenerations(folder);
    writeFileSync(folder.join("state.a.json.tmp-1234567890abcdef"), "half");
    writeFileSync(folder.join("other.a.json.tmp-1234567890abcdef"), "theirs");
    writeFileSync(folder.join("state.a.json.damaged-1"), "evidence");
    open(folder.path);
    expect(readdirSync(folder.path)).toEqual([
      "other.a.json.tmp-1234567890abcdef",
      "state.a.json",
      "state.a.json.damaged-1",
      "state.b.json",
    ]);
  });

  test("a value that the parser does not take counts as absent", async () => {
    using folder = new TemporaryFolder();
    const { log } = new RecordingLog();
    await open(folder.path).write({ shape: "of an older version" });
    const store = openStore(folder.path, "state", (value) => (isJson(value) ? undefined : value), log);
    expect(store.read()).toBeUndefined();
  });
});

test("killed twenty times in the middle of writing, no value that was told durable is lost", async () => {
  using folder = new TemporaryFolder();
  const script = fileURLToPath(import.meta.resolve("./store-writer.ts"));
  for (let round = 1; round <= 20; round += 1) {
    const child = spawn(process.execPath, [script, folder.path], { stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    let complaints = "";
    const started = Promise.withResolvers<undefined>();
    child.stdout.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      started.resolve(undefined);
    });
    child.stderr.on("data", (chunk: Buffer) => {
      complaints += chunk.toString();
    });
    const ended = Promise.withResolvers<undefined>();
    child.once("close", () => ended.resolve(undefined));
    await started.promise;
    const timer = setTimeout(() => child.kill("SIGKILL"), Math.random() * 40);
    await ended.promise;
    clearTimeout(timer);
    const last = Number(said.trim().split("\n").at(-1));
    const recording = new RecordingLog();
    const read = openStore(folder.path, "count", Number, recording.log).read();
    expect([last, last + 1], `round ${round}`).toContain(read);
    expect(recording.lines).toEqual([]);
    expect(complaints).toBe("");
    expect(readdirSync(folder.path).filter((name) => name.includes("tmp-"))).toEqual([]);
  }
});
