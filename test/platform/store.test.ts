import { spawn } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isJson, type Json } from "../../src/platform/json.ts";
import { openStore, type Store } from "../../src/platform/store.ts";
import { failureOf } from "../failure-of.ts";
import { anyJson } from "./any-json.ts";
import { RecordingLog } from "./recording-log.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

const slots = ["state.a.json", "state.b.json"];

function open(folder: string, recording = new RecordingLog()): Store<Json> {
  return openStore<Json>(folder, "state", (value) => value, recording.log);
}

/** Writes 1 and 2, and says which file holds which. */
async function twoGenerations(folder: TemporaryFolder): Promise<{ older: string; newer: string }> {
  const store = open(folder.path);
  await store.write("first");
  await store.write("second");
  const [older, newer] = slots
    .map((name) => folder.join(name))
    .toSorted((one) => (readFileSync(one, "utf8").includes("first") ? -1 : 1));
  if (older === undefined || newer === undefined) throw new Error("two files expected");
  return { older, newer };
}

/** Every byte that was ever in the folder under any name. */
function contents(folder: string): readonly string[] {
  return readdirSync(folder).map((name) => readFileSync(join(folder, name), "latin1"));
}

describe("damage", () => {
  test("a newest file that is torn at any byte yields the older value, and what is left of it is kept", async () => {
    using folder = new TemporaryFolder();
    const { newer } = await twoGenerations(folder);
    const whole = readFileSync(newer);
    for (let length = 0; length < whole.length; length += 1) {
      for (const name of readdirSync(folder.path)) {
        if (name.includes("damaged")) writeFileSync(folder.join(name), "");
      }
      const torn = whole.subarray(0, length);
      writeFileSync(newer, torn);
      const recording = new RecordingLog();
      expect(open(folder.path, recording).read(), `torn after ${length} bytes`).toBe("first");
      expect(recording.names()).toEqual(["platform.state-damaged"]);
      expect(contents(folder.path)).toContain(torn.toString("latin1"));
    }
  });

  test("an older file that is torn at any byte does not matter", async () => {
    using folder = new TemporaryFolder();
    const { older } = await twoGenerations(folder);
    const whole = readFileSync(older);
    for (let length = 0; length < whole.length; length += 1) {
      writeFileSync(older, whole.subarray(0, length));
      expect(open(folder.path).read(), `torn after ${length} bytes`).toBe("second");
    }
  });

  test("bits flipped anywhere in a file are noticed: the value of the other file is read, nothing is deleted", async () => {
    using folder = new TemporaryFolder();
    const { older, newer } = await twoGenerations(folder);
    const files = [older, newer];
    const originals = files.map((file) => readFileSync(file));
    fc.assert(
      fc.property(fc.nat({ max: 1 }), fc.nat(), fc.integer({ min: 1, max: 255 }), (which, at, flip) => {
        for (const [index, file] of files.entries()) writeFileSync(file, originals[index] ?? "");
        const changed = Buffer.from(originals[which] ?? "");
        const position = at % changed.length;
        changed[position] = (changed[position] ?? 0) ^ flip;
        writeFileSync(files[which] ?? "", changed);
        expect(open(folder.path).read()).toBe(which === 0 ? "second" : "first");
        expect(contents(folder.path)).toContain(changed.toString("latin1"));
      }),
      { numRuns: 400 },
    );
  });

  test.each([
    ["another value under the old digest", (text: string) => text.replace("second", "edited")],
    ["no digest", (text: string) => text.replace(/"digest":"[^"]*",/, "")],
    [
      "a generation that is no number",
      (text: string) => text.replace(/"generation":\d+/, '"generation":"9"'),
    ],
    ["JSON of another shape", () => "[]"],
    ["null", () => "null"],
    ["nothing", () => ""],
    ["bytes that are no text", () => "\u0000\uFFFD"],
  ])("a file with %s is set aside under a name that the log tells", async (_, damage) => {
    using folder = new TemporaryFolder();
    const { newer } = await twoGenerations(folder);
    const damaged = damage(readFileSync(newer, "utf8"));
    writeFileSync(newer, damaged);
    const recording = new RecordingLog();
    expect(open(folder.path, recording).read()).toBe("first");
    expect(recording.events).toMatchObject([
      { level: "error", event: "platform.state-damaged", path: newer },
    ]);
    expect(readFileSync(String(recording.events[0]?.["setAsideAs"]), "utf8")).toBe(damaged);
    expect(existsSync(newer)).toBe(false);
  });

  test("the same file damaged twice leaves two files behind, not one", async () => {
    using folder = new TemporaryFolder();
    const { newer } = await twoGenerations(folder);
    for (const damaged of ["one", "two"]) {
      writeFileSync(newer, damaged);
      open(folder.path).read();
    }
    expect(contents(folder.path)).toEqual(expect.arrayContaining(["one", "two"]));
  });

  test("both files damaged: there is no value, both are set aside, and the store works on", async () => {
    using folder = new TemporaryFolder();
    await twoGenerations(folder);
    for (const name of slots) writeFileSync(folder.join(name), `damaged ${name}`);
    const store = open(folder.path);
    expect(store.read()).toBeUndefined();
    expect(contents(folder.path).toSorted()).toEqual(["damaged state.a.json", "damaged state.b.json"]);
    await store.write("third");
    expect(open(folder.path).read()).toBe("third");
  });

  test("after damage the next write goes past the generation that is left, so that it is the newest again", async () => {
    using folder = new TemporaryFolder();
    const { newer } = await twoGenerations(folder);
    writeFileSync(newer, "{");
    const store = open(folder.path);
    await store.write("third");
    expect(open(folder.path).read()).toBe("third");
  });

  test("an older generation that comes back from a backup does not win", async () => {
    using folder = new TemporaryFolder();
    const { older } = await twoGenerations(folder);
    copyFileSync(older, folder.join("backup"));
    await open(folder.path).write("third");
    copyFileSync(folder.join("backup"), older);
    expect(open(folder.path).read()).toBe("second");
  });
});

describe("what cannot be read or written", () => {
  test("a file that cannot be read is told and left alone; the other one serves", async () => {
    using folder = new TemporaryFolder();
    const { newer } = await twoGenerations(folder);
    const saved = folder.join("saved");
    copyFileSync(newer, saved);
    // A folder in its place: even root cannot read that as a file.
    rmSync(newer);
    mkdirSync(newer);
    const recording = new RecordingLog();
    expect(open(folder.path, recording).read()).toBe("first");
    expect(recording.events).toMatchObject([{ event: "platform.state-unreadable", path: newer }]);
    expect(statSync(newer).isDirectory()).toBe(true);
  });

  test("a state directory below a file: no value, and writing says so", async () => {
    using folder = new TemporaryFolder();
    writeFileSync(folder.join("file"), "");
    const store = open(folder.join("file", "state"));
    expect(store.read()).toBeUndefined();
    const error = await failureOf(store.write("value"));
    expect(error).toMatchObject({ code: "platform/state-not-written", remedy: "retry" });
    expect(error.message).toContain("ENOTDIR");
    expect(error.message).toMatch(/Check free space, mode and owner/);
  });

  test("a state directory that is a file: opening does not throw, and writing says so", async () => {
    using folder = new TemporaryFolder();
    writeFileSync(folder.join("file"), "");
    const recording = new RecordingLog();
    const store = open(folder.join("file"), recording);
    expect(store.read()).toBeUndefined();
    expect(recording.events).toMatchObject([
      { event: "platform.state-unreadable", path: folder.join("file"), error: { code: "ENOTDIR" } },
    ]);
    expect((await failureOf(store.write("value"))).code).toBe("platform/state-not-written");
  });

  test("a state directory that does not exist is made at the first write", async () => {
    using folder = new TemporaryFolder();
    const store = open(folder.join("later", "state"));
    expect(store.read()).toBeUndefined();
    await store.write("value");
    expect(open(folder.join("later", "state")).read()).toBe("value");
  });

  test("a failed write leaves both generations as they were", async () => {
    using folder = new TemporaryFolder();
    const { older } = await twoGenerations(folder);
    rmSync(older);
    mkdirSync(older);
    writeFileSync(join(older, "in the way"), "");
    const store = open(folder.path);
    expect((await failureOf(store.write("third"))).code).toBe("platform/state-not-written");
    expect(store.read()).toBe("second");
    expect(readdirSync(folder.path).filter((name) => name.includes("tmp"))).toEqual([]);
  });
});

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
