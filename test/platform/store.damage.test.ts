import {
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
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { failureOf } from "../failure-of.ts";
import { RecordingLog } from "./recording-log.ts";
import { TemporaryFolder } from "./temporary-folder.ts";
import { open, slots, twoGenerations } from "./two-generations.ts";

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
