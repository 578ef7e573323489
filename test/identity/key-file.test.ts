import { createHmac, randomBytes } from "node:crypto";
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { openKeyFile } from "../../src/identity/key-file.ts";
import { failureOf } from "../failure-of.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";

const never = new AbortController().signal;
const bytes = randomBytes(32);
const key = bytes.toString("base64");

function at(path: string, isCredential = false): { readonly path: string; readonly isCredential: boolean } {
  return { path, isCredential };
}

function writeKey(path: string, content: string, mode = 0o600): void {
  writeFileSync(path, content);
  chmodSync(path, mode);
}

describe("a key that cannot be used needs an operator, and the message says what to do", () => {
  test("no file at all: every place is named, and what belongs there", async () => {
    using folder = new TemporaryFolder();
    const places = [at(folder.join("credential"), true), at(folder.join("device.key"))];
    const error = await failureOf(openKeyFile(places));
    expect(error).toMatchObject({ code: "identity/key-file-missing", remedy: "operator" });
    expect(error.message).toContain(folder.join("credential"));
    expect(error.message).toMatch(/do not exist.*latebind derive-key.*mode 0600/);
    expect((await failureOf(openKeyFile([at("/nonexistent/key")]))).message).toContain("does not exist");
  });

  test.each([0o644, 0o640, 0o666])("mode %o: others can read it", async (mode) => {
    using folder = new TemporaryFolder();
    writeKey(folder.join("key"), key, mode);
    const error = await failureOf(openKeyFile([at(folder.join("key"))]));
    expect(error).toMatchObject({ code: "identity/key-file-too-open", remedy: "operator" });
    expect(error.message).toContain(`mode 0${mode.toString(8)}`);
    expect(error.message).toContain(`chmod 0600 ${folder.join("key")}`);
  });

  test("another user's file", async ({ skip }) => {
    skip(process.getuid?.() !== 0, "only root may give files away");
    using folder = new TemporaryFolder();
    writeKey(folder.join("key"), key);
    chownSync(folder.join("key"), 1234, 1234);
    const error = await failureOf(openKeyFile([at(folder.join("key"))]));
    expect(error).toMatchObject({ code: "identity/key-file-owner", remedy: "operator" });
    expect(error.message).toMatch(/belongs to user 1234.*chown/);
  });

  test("a folder in its place", async () => {
    using folder = new TemporaryFolder();
    mkdirSync(folder.join("key"), { mode: 0o700 });
    const error = await failureOf(openKeyFile([at(folder.join("key"))]));
    expect(error).toMatchObject({ code: "identity/key-malformed", remedy: "operator" });
  });

  test.each(["\n", "not base64!", "c2hvcnQ=", `${key}\n${key}`])("content %j", async (content) => {
    using folder = new TemporaryFolder();
    writeKey(folder.join("key"), content);
    const error = await failureOf(openKeyFile([at(folder.join("key"))]));
    expect(error).toMatchObject({ code: "identity/key-malformed", remedy: "operator" });
    expect(error.message).toMatch(/cannot be used.*as the portal shows it, on one line/);
    expect(error.message).not.toContain(content);
  });

  test("a bad file in the first place is not passed over for a good one in the second", async () => {
    using folder = new TemporaryFolder();
    writeKey(folder.join("first"), key, 0o644);
    writeKey(folder.join("second"), key);
    const error = await failureOf(openKeyFile([at(folder.join("first")), at(folder.join("second"))]));
    expect(error.code).toBe("identity/key-file-too-open");
  });
});

test("the first place that has a file serves; a credential may carry systemd's group bit", async () => {
  using folder = new TemporaryFolder();
  writeKey(folder.join("credential"), key, 0o440);
  writeKey(folder.join("file"), randomBytes(32).toString("base64"));
  const open = await openKeyFile([at(folder.join("credential"), true), at(folder.join("file"))]);
  expect(open.custody).toBe(`file ${folder.join("credential")}`);
});

test("the key signs as HMAC-SHA256 over the decoded bytes", async () => {
  using folder = new TemporaryFolder();
  writeKey(folder.join("key"), `${key}\n`);
  const open = await openKeyFile([at(folder.join("key"))]);
  const signature = await open.key.hmac(Buffer.from("data"), never);
  expect(Buffer.from(signature)).toEqual(createHmac("sha256", bytes).update("data").digest());
});

test("the digest changes exactly when the key does, and neither shows the key", async () => {
  using folder = new TemporaryFolder();
  const path = folder.join("key");
  const digestOf = async (content: string) => {
    writeKey(path, content);
    return (await openKeyFile([at(path)])).credentialDigest;
  };
  const digest = await digestOf(key);
  expect(digest).toMatch(/^[0-9a-f]{64}$/);
  expect(await digestOf(`${key}\n`)).toBe(digest);
  expect(await digestOf(randomBytes(32).toString("base64"))).not.toBe(digest);
  const shown = JSON.stringify(await openKeyFile([at(path)]));
  expect(shown).not.toContain(key);
  expect(shown).not.toContain(bytes.toString("hex"));
});
