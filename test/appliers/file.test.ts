import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Outcome } from "../../src/appliers/applier.ts";
import { createFileApplier } from "../../src/appliers/file.ts";
import type { FileRule } from "../../src/config/config.ts";
import { apply, plan } from "../contract/applier.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "latebind-file-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

function rule(more: Partial<FileRule> = {}): FileRule {
  return {
    property: "site",
    kind: "file",
    file: join(folder, "site.json"),
    format: "json",
    mode: 0o640,
    timeoutMs: 10_000,
    after: [],
    mend: false,
    privileged: false,
    ...more,
  };
}

function sh(script: string): readonly [string, ...string[]] {
  return ["/bin/sh", "-c", script];
}

async function read(name = "site.json"): Promise<string> {
  return readFile(join(folder, name), "utf8");
}

function messageOf(outcome: Outcome): string {
  if (outcome.status !== "failed") throw new Error(`it is ${outcome.status}`);
  return outcome.message;
}

describe("a target that is not ours to replace", () => {
  test("a symbolic link anywhere in its folder's path is refused, and where it leads is told", async () => {
    await mkdir(join(folder, "real"));
    await symlink(join(folder, "real"), join(folder, "alias"));
    const outcome = await apply(createFileApplier(rule({ file: join(folder, "alias", "site.json") })), 1);
    expect(outcome).toMatchObject({ status: "failed", code: "appliers/target-refused", changed: [] });
    expect(messageOf(outcome)).toContain(`it leads to ${folder}/real`);
    expect(await readdir(join(folder, "real"))).toEqual([]);
  });

  test("a symbolic link is refused, and what it points to stays", async () => {
    await writeFile(join(folder, "target"), "precious");
    await symlink(join(folder, "target"), join(folder, "site.json"));
    const outcome = await apply(createFileApplier(rule()), { a: 1 });
    expect(outcome).toMatchObject({ status: "failed", code: "appliers/target-refused", changed: [] });
    expect(messageOf(outcome)).toContain("symbolic link");
    expect(await read("target")).toBe("precious");
    expect((await lstat(join(folder, "site.json"))).isSymbolicLink()).toBe(true);
  });

  test("a folder is refused", async () => {
    await mkdir(join(folder, "site.json"));
    expect(await apply(createFileApplier(rule()), { a: 1 })).toMatchObject({
      code: "appliers/target-refused",
    });
  });

  test("a pipe is refused and does not hold us", async () => {
    await apply(
      createFileApplier(
        rule({ file: join(folder, "other"), command: ["/usr/bin/mkfifo", join(folder, "site.json")] }),
      ),
      1,
    );
    expect(await apply(createFileApplier(rule()), { a: 1 })).toMatchObject({
      code: "appliers/target-refused",
    });
  });
});

describe("a file that cannot be written is an outcome", () => {
  test("a missing folder is not made; the message has the command that makes it", async () => {
    const outcome = await apply(createFileApplier(rule({ file: join(folder, "no/site.json") })), 1);
    expect(outcome).toMatchObject({ status: "failed", code: "appliers/folder-missing", changed: [] });
    expect(messageOf(outcome)).toContain(`install -d -m 0755 ${folder}/no`);
    expect(await readdir(folder)).toEqual([]);
  });

  test("a file in place of the folder", async () => {
    await writeFile(join(folder, "plain"), "");
    const outcome = await apply(createFileApplier(rule({ file: join(folder, "plain/site.json") })), 1);
    expect(outcome).toMatchObject({ status: "failed", code: "appliers/file-not-written" });
  });

  test.skipIf(userInfo().uid === 0 ? skip("root may write everywhere") : false)("no permission", async () => {
    await chmod(folder, 0o500);
    const outcome = await apply(createFileApplier(rule()), 1);
    await chmod(folder, 0o700);
    expect(messageOf(outcome)).toContain("no permission");
  });

  test("a full or read-only file system is told by its name", async () => {
    // The kernel's own files refuse new neighbours, for root too.
    const outcome = await apply(createFileApplier(rule({ file: "/proc/site.json" })), 1);
    expect(outcome).toMatchObject({ status: "failed", changed: [] });
    expect(messageOf(outcome)).toContain("/proc/site.json");
  });

  test.each([
    [{ user: "nobody-of-that-name" }, 'user "nobody-of-that-name" is not in /etc/passwd'],
    [{ user: "root", group: "no-such-group" }, 'group "no-such-group" is not in /etc/group'],
  ])("the unknown owner %j", async (owner, message) => {
    const outcome = await apply(createFileApplier(rule({ owner })), 1);
    expect(outcome).toMatchObject({ status: "failed", code: "appliers/owner-unknown" });
    expect(messageOf(outcome)).toContain(message);
    expect(await readdir(folder)).toEqual([]);
  });
});

describe("writing", () => {
  test("content and mode are as the rule says, and no temporary file is left", async () => {
    const outcome = await apply(createFileApplier(rule({ mode: 0o604 })), { a: 1 });
    expect(outcome).toEqual({ status: "applied", changed: [join(folder, "site.json")] });
    expect(await read()).toBe('{\n  "a": 1\n}\n');
    expect((await stat(join(folder, "site.json"))).mode & 0o7777).toBe(0o604);
    expect(await readdir(folder)).toEqual(["site.json"]);
  });

  test("a file that is right already is not written", async () => {
    const applier = createFileApplier(rule());
    await apply(applier, { a: 1 });
    const before = await stat(join(folder, "site.json"));
    expect(await apply(applier, { a: 1 })).toEqual({ status: "unchanged" });
    const after = await stat(join(folder, "site.json"));
    expect([after.ino, after.ctimeMs]).toEqual([before.ino, before.ctimeMs]);
  });

  test("a wrong mode is mended", async () => {
    const applier = createFileApplier(rule());
    await apply(applier, { a: 1 });
    await chmod(join(folder, "site.json"), 0o600);
    expect(await apply(applier, { a: 1 })).toMatchObject({ status: "applied" });
    expect((await stat(join(folder, "site.json"))).mode & 0o7777).toBe(0o640);
  });

  test("a longer file of somebody else is replaced", async () => {
    await writeFile(join(folder, "site.json"), "x".repeat(100_000));
    await apply(createFileApplier(rule()), 1);
    expect(await read()).toBe("1\n");
  });

  test("owners are accepted by name and by number", async () => {
    const { uid, gid } = userInfo();
    await apply(createFileApplier(rule({ owner: { user: String(uid), group: String(gid) } })), 1);
    const { username } = userInfo();
    expect(await apply(createFileApplier(rule({ owner: { user: username } })), 1)).toEqual({
      status: "unchanged",
    });
  });

  test.skipIf(userInfo().uid === 0 ? false : skip("only root may give files away"))(
    "the owner is set",
    async () => {
      await apply(createFileApplier(rule({ owner: { user: "daemon", group: "daemon" } })), 1);
      const found = await stat(join(folder, "site.json"));
      expect([found.uid, found.gid]).toEqual([1, 1]);
    },
  );
});

describe("the command", () => {
  test("runs after the file is written, and sees it", async () => {
    const command = sh(`cat ${join(folder, "site.json")} > ${join(folder, "seen")}`);
    const outcome = await apply(createFileApplier(rule({ command })), "new");
    expect(outcome).toEqual({ status: "applied", changed: [join(folder, "site.json"), "ran /bin/sh"] });
    expect(await read("seen")).toBe('"new"\n');
  });

  test("does not run when the file could not be written", async () => {
    const command = sh(`touch ${join(folder, "ran")}`);
    await apply(createFileApplier(rule({ file: join(folder, "no/file"), command })), 1);
    expect(await readdir(folder)).toEqual([]);
  });

  test("that fails makes the property fail, with exit code and last line, and a file that was not there is not there", async () => {
    const outcome = await apply(createFileApplier(rule({ command: sh("echo port in use >&2; exit 3") })), 1);
    expect(outcome).toEqual({
      status: "failed",
      code: "appliers/command-failed",
      message: "/bin/sh exited with 3: port in use",
      changed: [],
    });
    expect(await readdir(folder)).toEqual([]);
  });

  test("that refuses the new file gets the old one back, content and mode, and runs once more for it", async () => {
    const file = join(folder, "site.json");
    await writeFile(file, "old\n", { mode: 0o604 });
    await chmod(file, 0o604);
    const command = sh(`cat ${file} >> ${join(folder, "log")}; grep -q old ${file}`);
    const outcome = await apply(createFileApplier(rule({ command })), "new");
    expect(outcome).toMatchObject({ status: "failed", code: "appliers/command-failed", changed: [] });
    expect([await read(), await read("log")]).toEqual(["old\n", '"new"\nold\n']);
    expect((await stat(file)).mode & 0o7777).toBe(0o604);
  });

  test("that fails with the old file too is told as a change", async () => {
    await writeFile(join(folder, "site.json"), "old\n");
    const outcome = await apply(createFileApplier(rule({ command: ["/bin/false"] })), "new");
    expect(outcome).toMatchObject({ changed: ["/bin/false failed for the previous file too"] });
    expect(await read()).toBe("old\n");
  });

  test("is run again by the next try", async () => {
    const command = sh(`test -e ${join(folder, "mended")} && echo ran >> ${join(folder, "log")}`);
    const applier = createFileApplier(rule({ command }));
    expect(await apply(applier, 1)).toMatchObject({ status: "failed" });
    await writeFile(join(folder, "mended"), "");
    expect(await apply(applier, 1)).toEqual({
      status: "applied",
      changed: [join(folder, "site.json"), "ran /bin/sh"],
    });
    expect(await read("log")).toBe("ran\n");
  });

  test("runs after a kill between write and command, though the file is right by then", async () => {
    await apply(createFileApplier(rule()), 1);
    const outcome = await apply(createFileApplier(rule({ command: ["/bin/true"] })), 1);
    expect(outcome).toEqual({ status: "applied", changed: ["ran /bin/true"] });
  });

  test.each([
    ["is missing", ["/nonexistent/reload"] as const, "platform/command-not-found"],
    ["takes too long", sh("exec sleep 60"), "platform/command-timeout"],
    ["is killed", sh("kill -KILL $$"), "platform/command-killed"],
  ])("that %s makes the property fail", async (_, command, code) => {
    const outcome = await apply(createFileApplier(rule({ command, timeoutMs: 200 })), 1);
    expect(outcome).toMatchObject({ status: "failed", code, changed: [] });
  });

  test("is ended when the signal is aborted, and the reason is thrown", async () => {
    const controller = new AbortController();
    const applier = createFileApplier(rule({ command: sh("exec sleep 60") }));
    const work = applier.execute(await plan(applier, 1), controller.signal);
    await expect.poll(() => readdir(folder)).toEqual(["site.json"]);
    controller.abort(new Error("stop"));
    await expect(work).rejects.toThrow("was stopped");
  });
});

test("every part of the rule that shapes the device is in the fingerprint", () => {
  const variants: readonly Partial<FileRule>[] = [
    {},
    { file: "/etc/other" },
    { format: "toml" },
    { format: "template", template: { path: "/t", text: "a" } },
    { format: "template", template: { path: "/t", text: "b" } },
    { mode: 0o600 },
    { owner: { user: "root" } },
    { owner: { user: "root", group: "root" } },
    { command: ["/bin/true"] },
    { command: ["/bin/true", "x"] },
  ];
  const prints = new Set(variants.map((more) => createFileApplier(rule(more)).fingerprint));
  expect(prints.size).toBe(variants.length);
});

function skip(why: string): true {
  console.warn(`skipped: ${why}`);
  return true;
}
