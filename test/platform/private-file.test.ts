import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { expect, test } from "vitest";
import { readPrivateFile } from "../../src/platform/private-file.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

function fileWithMode(folder: TemporaryFolder, mode: number): string {
  const path = folder.join("key");
  writeFileSync(path, "content");
  chmodSync(path, mode);
  return path;
}

test.each([0o640, 0o604, 0o660, 0o620, 0o601, 0o777])(
  "a file of mode %o is refused unread: others have a right on it",
  async (mode) => {
    using folder = new TemporaryFolder();
    expect(await readPrivateFile(fileWithMode(folder, mode))).toEqual({ status: "too-open", mode });
  },
);

test.each([0o600, 0o400, 0o700])("a file of mode %o is read", async (mode) => {
  using folder = new TemporaryFolder();
  expect(await readPrivateFile(fileWithMode(folder, mode))).toEqual({
    status: "read",
    content: Buffer.from("content"),
  });
});

test("in the credentials directory a bit for the group is systemd's, one for others is not", async () => {
  using folder = new TemporaryFolder();
  expect(await readPrivateFile(fileWithMode(folder, 0o440), true)).toMatchObject({ status: "read" });
  expect(await readPrivateFile(fileWithMode(folder, 0o444), true)).toMatchObject({ status: "too-open" });
});

test("a file of a third user is refused", async ({ skip }) => {
  skip(process.getuid?.() !== 0, "only root may give files away");
  using folder = new TemporaryFolder();
  const path = fileWithMode(folder, 0o600);
  chownSync(path, 1234, 1234);
  expect(await readPrivateFile(path)).toEqual({ status: "foreign-owner", uid: 1234 });
});

test("a missing file, and a file below a file, are missing", async () => {
  using folder = new TemporaryFolder();
  expect(await readPrivateFile(folder.join("missing"))).toEqual({ status: "missing" });
  expect(await readPrivateFile(`${fileWithMode(folder, 0o600)}/below`)).toEqual({ status: "missing" });
});

test.each([
  ["a folder", (path: string) => mkdirSync(path, { mode: 0o700 })],
  ["a huge file", (path: string) => writeFileSync(path, Buffer.alloc(65_537), { mode: 0o600 })],
  ["a device", (path: string) => symlinkSync("/dev/zero", path)],
  ["a pipe that nobody writes to", (path: string) => execFileSync("/usr/bin/mkfifo", ["-m", "600", path])],
])("%s is no key file, and does not hold the agent up", async (_, make) => {
  using folder = new TemporaryFolder();
  make(folder.join("key"));
  expect(await readPrivateFile(folder.join("key"))).toEqual({ status: "not-a-file" });
});

test("a socket is no key file", async () => {
  using folder = new TemporaryFolder();
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(folder.join("socket"), resolve));
  const result = await readPrivateFile(folder.join("socket"));
  server.close();
  expect(result.status).toBe("not-a-file");
});

test("a link in a circle is unreadable, and the system's code says why", async () => {
  using folder = new TemporaryFolder();
  symlinkSync(folder.join("link"), folder.join("link"));
  expect(await readPrivateFile(folder.join("link"))).toEqual({ status: "unreadable", systemCode: "ELOOP" });
});
