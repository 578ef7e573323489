import { appendFileSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openJournal, readJournal, type JournalEntry } from "../../src/agent/journal.ts";
import { ManualClock } from "../manual-clock.ts";
import { RecordingLog } from "../platform/recording-log.ts";

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "latebind-journal-"));
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

function notes(entries: readonly JournalEntry[]): readonly string[] {
  return entries.map((entry) => (entry.kind === "note" ? entry.says : entry.kind));
}

describe("the journal", () => {
  test("is empty where nobody wrote one", () => {
    expect(readJournal(directory)).toEqual([]);
  });

  test("is read back in its order, with the time of each entry, across restarts", () => {
    const clock = new ManualClock(1_000);
    openJournal(directory, clock, new RecordingLog().log).write({ kind: "note", says: "one" });
    clock.advance(500);
    openJournal(directory, clock, new RecordingLog().log).write({ kind: "woken", by: "resumed" });
    expect(readJournal(directory)).toEqual([
      { atMs: 1_000, kind: "note", says: "one" },
      { atMs: 1_500, kind: "woken", by: "resumed" },
    ]);
  });

  test("loses the line that a power cut tore, and no other", () => {
    const journal = openJournal(directory, new ManualClock(), new RecordingLog().log);
    journal.write({ kind: "note", says: "before" });
    appendFileSync(join(directory, "journal.jsonl"), '{"atMs":1,"kind":"no');
    journal.write({ kind: "note", says: "after" });
    journal.write({ kind: "note", says: "later" });
    expect(notes(readJournal(directory))).toEqual(["before", "after", "later"]);
  });

  test("never takes more than two files of 64 kB and a line each, and keeps the newest", () => {
    const journal = openJournal(directory, new ManualClock(), new RecordingLog().log);
    for (let count = 0; count < 2_000; count += 1)
      journal.write({ kind: "note", says: `${count} ${"x".repeat(100)}` });
    const bytes = ["journal.jsonl", "journal.1.jsonl"].map((name) => statSync(join(directory, name)).size);
    expect(Math.max(...bytes)).toBeLessThan(65 * 1024);
    const entries = notes(readJournal(directory));
    expect(entries.length).toBeGreaterThan(400);
    expect(entries.at(-1)).toMatch(/^1999 /);
    expect(entries.map((says) => Number.parseInt(says, 10))).toEqual(
      Array.from({ length: entries.length }, (_, index) => 2_000 - entries.length + index),
    );
  });

  test("that cannot be written is told once, stops nothing, and goes on when it can", () => {
    const log = new RecordingLog();
    const missing = join(directory, "gone");
    const journal = openJournal(missing, new ManualClock(), log.log);
    journal.write({ kind: "note", says: "one" });
    journal.write({ kind: "note", says: "two" });
    expect(log.names()).toEqual(["agent.journal-not-written"]);
  });
});
