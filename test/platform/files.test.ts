import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { describe, expect, test } from "vitest";
import {
  describePath,
  listDirectory,
  makeDirectory,
  readIfPresent,
  writeFileAtomically,
} from "../../src/platform/files.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

describe("writing a file atomically", () => {
  test("a failed write leaves the old content and no temporary file", async () => {
    using folder = new TemporaryFolder();
    mkdirSync(folder.join("target"));
    writeFileSync(folder.join("target", "in the way"), "old");
    await expect(writeFileAtomically(folder.join("target"), "new", { mode: 0o600 })).rejects.toMatchObject({
      code: "EISDIR",
    });
    expect(readdirSync(folder.path)).toEqual(["target"]);
    expect(readFileSync(folder.join("target", "in the way"), "utf8")).toBe("old");
  });

  test("a missing folder is told by the system's code", async () => {
    using folder = new TemporaryFolder();
    const path = folder.join("missing", "file");
    await expect(writeFileAtomically(path, "x", { mode: 0o600 })).rejects.toMatchObject({ code: "ENOENT" });
  });

  test("a reader in the middle sees the old file or the new one, whole", async () => {
    using folder = new TemporaryFolder();
    const path = folder.join("file");
    const size = 100_000;
    await writeFileAtomically(path, "a".repeat(size), { mode: 0o600 });
    const progress = { round: 0 };
    const writing = (async () => {
      for (const letter of "bcdefghij") {
        await writeFileAtomically(path, letter.repeat(size), { mode: 0o600 });
        progress.round += 1;
      }
    })();
    do {
      const seen = readFileSync(path, "utf8");
      expect(seen).toBe((seen[0] ?? "nothing").repeat(size));
      await new Promise((resolve) => setImmediate(resolve));
    } while (progress.round < 9);
    await writing;
    expect(readFileSync(path, "utf8")[0]).toBe("j");
  });

  test("a symbolic link that somebody laid at the temporary name is not followed", async () => {
    using folder = new TemporaryFolder();
    writeFileSync(folder.join("victim"), "untouched");
    symlinkSync(folder.join("victim"), folder.join(".file.latebind-tmp"));
    await writeFileAtomically(folder.join("file"), "new", { mode: 0o600 });
    expect(readFileSync(folder.join("victim"), "utf8")).toBe("untouched");
    expect(lstatSync(folder.join("file")).isSymbolicLink()).toBe(false);
    expect(readdirSync(folder.path)).toEqual(["file", "victim"]);
  });

  test("what a kill left behind goes with the next write", async () => {
    using folder = new TemporaryFolder();
    writeFileSync(folder.join(".file.latebind-tmp"), "half");
    await writeFileAtomically(folder.join("file"), "new", { mode: 0o600 });
    expect(readdirSync(folder.path)).toEqual(["file"]);
  });

  test.each([0o600, 0o640, 0o444, 0o777])("the mode is exactly what was asked for: %o", async (mode) => {
    using folder = new TemporaryFolder();
    const path = folder.join("file");
    writeFileSync(path, "old");
    chmodSync(path, 0o666);
    await writeFileAtomically(path, Buffer.from("new"), { mode });
    expect(statSync(path).mode & 0o7777).toBe(mode);
  });

  test("the owner is what was asked for", async ({ skip }) => {
    skip(process.getuid?.() !== 0, "only root may give files away");
    using folder = new TemporaryFolder();
    await writeFileAtomically(folder.join("file"), "new", { mode: 0o640, uid: 1234, gid: 5678 });
    expect(statSync(folder.join("file"))).toMatchObject({ uid: 1234, gid: 5678 });
  });
});

test("what is not there reads as nothing; what cannot be read is thrown", async () => {
  using folder = new TemporaryFolder();
  writeFileSync(folder.join("file"), "content");
  expect(await readIfPresent(folder.join("missing"))).toBeUndefined();
  expect((await readIfPresent(folder.join("file")))?.toString()).toBe("content");
  await expect(readIfPresent(folder.path)).rejects.toMatchObject({ code: "EISDIR" });
  expect(await listDirectory(folder.join("missing"))).toEqual([]);
  await expect(listDirectory(folder.join("file"))).rejects.toMatchObject({ code: "ENOTDIR" });
});

test("names in a folder are sorted by their bytes, as drop-ins are read", async () => {
  using folder = new TemporaryFolder();
  for (const name of ["b", "B", "10", "9", "ä"]) writeFileSync(folder.join(name), "");
  expect(await listDirectory(folder.path)).toEqual(["10", "9", "B", "b", "ä"]);
});

test("what stands at a path is described without following a link", async () => {
  using folder = new TemporaryFolder();
  writeFileSync(folder.join("file"), "");
  chmodSync(folder.join("file"), 0o640);
  symlinkSync(folder.join("file"), folder.join("link"));
  expect(await describePath(folder.join("missing"))).toBeUndefined();
  expect(await describePath(folder.join("file"))).toMatchObject({ kind: "file", mode: 0o640 });
  expect(await describePath(folder.path)).toMatchObject({ kind: "directory" });
  expect(await describePath(folder.join("link"))).toMatchObject({ kind: "other" });
});

test("a folder is made with its parents, and twice is no fault", async () => {
  using folder = new TemporaryFolder();
  for (let time = 1; time <= 2; time += 1) await makeDirectory(folder.join("one", "two"), 0o700);
  expect(statSync(folder.join("one", "two")).mode & 0o777).toBe(0o700);
});
