import { execFileSync } from "node:child_process";
import { utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { bundleFile } from "../../packaging/bundle-file.ts";
import { knownTime } from "../../src/platform/known-time.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

test("a state directory that cannot be read, or is empty, knows nothing, and the build is known all the same", () => {
  using folder = new TemporaryFolder();
  for (const directory of ["/dev/null/state", folder.path]) {
    const known = knownTime(directory);
    expect(known.storedAtMs).toBeUndefined();
    expect(known.builtAtMs).toBeGreaterThan(Date.UTC(2020, 0));
    expect(known.builtAtMs).toBeLessThanOrEqual(Date.now());
  }
});

test("the newest file of the state directory tells when this device last stored something", () => {
  using folder = new TemporaryFolder();
  for (const [name, seconds] of [
    ["a", 1_800_000_000],
    ["b", 1_900_000_000],
    ["c", 1_700_000_000],
  ] as const) {
    writeFileSync(folder.join(name), "");
    utimesSync(folder.join(name), seconds, seconds);
  }
  expect(knownTime(folder.path).storedAtMs).toBe(1_900_000_000_000);
});

test("the bundle bears the time of its build, wherever and whenever it is installed", async () => {
  using folder = new TemporaryFolder();
  const source = join(import.meta.dirname, "../../src/platform/known-time.ts");
  writeFileSync(
    folder.join("entry.ts"),
    `import { knownTime } from ${JSON.stringify(source)};\nconsole.log(knownTime("/").builtAtMs);\n`,
  );
  const epoch = process.env["SOURCE_DATE_EPOCH"];
  process.env["SOURCE_DATE_EPOCH"] = "1795000000";
  try {
    await bundleFile(folder.join("entry.ts"), folder.join("bundle.cjs"), { isTrimmed: false });
  } finally {
    if (epoch === undefined) delete process.env["SOURCE_DATE_EPOCH"];
    else process.env["SOURCE_DATE_EPOCH"] = epoch;
  }
  utimesSync(folder.join("bundle.cjs"), 1, 1);
  const printed = execFileSync(process.execPath, [folder.join("bundle.cjs")], { encoding: "utf8" });
  expect(Number(printed)).toBe(1_795_000_000_000);
});
