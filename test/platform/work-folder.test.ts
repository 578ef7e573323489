import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { abandonedWorkFolders, memoryDirectory, WorkFolder } from "../../src/platform/work-folder.ts";
import { failureOf } from "../failure-of.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

const prefix = "latebind-work-";

test("secrets lie where systemd says, or else in shared memory", () => {
  expect(memoryDirectory({ RUNTIME_DIRECTORY: "/run/latebind:/run/other" })).toBe("/run/latebind");
  expect(memoryDirectory({})).toBe("/dev/shm");
});

test("a work folder is closed to others, and gone with its content when the work ends", async () => {
  using parent = new TemporaryFolder();
  let path: string;
  {
    using folder = await WorkFolder.make(parent.join("made", "for", "it"), prefix);
    ({ path } = folder);
    expect(statSync(path).mode & 0o777).toBe(0o700);
    folder.write("secret", "key");
    expect(statSync(`${path}/secret`).mode & 0o777).toBe(0o600);
    expect(folder.read("secret").toString()).toBe("key");
  }
  expect(existsSync(path)).toBe(false);
});

test("a work folder that cannot be made is told with its place", async () => {
  using parent = new TemporaryFolder();
  writeFileSync(parent.join("file"), "");
  const failure = await failureOf(WorkFolder.make(parent.join("file"), prefix));
  expect(failure).toMatchObject({ code: "platform/work-folder-not-made", remedy: "retry" });
  expect(failure.message).toContain(parent.join("file"));
});

test("folders of processes that have ended are found, those of running ones and of others are not", () => {
  using parent = new TemporaryFolder();
  const { pid: ended } = spawnSync("/bin/true");
  for (const name of [`${prefix}${ended}-Ab1`, `${prefix}${process.pid}-Ab2`, "other-1-Ab3", `${prefix}x`])
    mkdirSync(parent.join(name), { mode: 0o700 });
  const found = abandonedWorkFolders(parent.path, prefix);
  expect(found.map(({ path }) => path)).toEqual([parent.join(`${prefix}${ended}-Ab1`)]);
  expect(abandonedWorkFolders(parent.join("nowhere"), prefix)).toEqual([]);
});

test("what somebody else may have laid down under such a name is passed over", () => {
  using parent = new TemporaryFolder();
  const { pid: ended } = spawnSync("/bin/true");
  const name = (suffix: string) => parent.join(`${prefix}${ended}-${suffix}`);
  mkdirSync(parent.join("mine"), { mode: 0o700 });
  symlinkSync(parent.join("mine"), name("link"));
  symlinkSync(name("loop"), name("loop"));
  symlinkSync("/etc/passwd/x", name("dangling"));
  writeFileSync(name("file"), "", { mode: 0o700 });
  mkdirSync(name("open"));
  chmodSync(name("open"), 0o755);
  expect(abandonedWorkFolders(parent.path, prefix)).toEqual([]);
});
