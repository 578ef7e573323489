import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { watch } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundleFile, bundleQuickStart } from "../../packaging/bundle-file.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";

const root = join(import.meta.dirname, "..", "..");
const folder = new TemporaryFolder();
const quickStart = folder.join("quick-start.cjs");
const config = folder.join("config.toml");

beforeAll(async () => {
  await bundleFile(join(root, "src", "main.ts"), folder.join("latebind.cjs"));
  await bundleQuickStart(folder.join("latebind.cjs"), quickStart);
  writeFileSync(folder.join("device.key"), Buffer.alloc(32, 7).toString("base64"), { mode: 0o600 });
  const nobody = `[provisioning]\nendpoint = "localhost"\nport = 1\n`;
  writeFileSync(config, `id_scope = "0ne00000000"\nregistration_id = "gw"\n${nobody}`);
});
afterAll(() => {
  folder[Symbol.dispose]();
});

/** Runs the agent, which finds nobody to talk to, until `until` is over. @returns what it wrote to standard error. */
async function runAgent(cache: string, until: () => Promise<void>): Promise<string> {
  const state = `${cache}-state`;
  mkdirSync(state, { recursive: true });
  const child = spawn(process.execPath, [quickStart, "run", "--config", config], {
    env: { PATH: "/usr/bin:/bin", STATE_DIRECTORY: state, CACHE_DIRECTORY: cache },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const errors: string[] = [];
  child.stderr.setEncoding("utf8").on("data", (text: string) => errors.push(text));
  const exited = once(child, "exit");
  try {
    await until();
  } finally {
    child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
  }
  return errors.join("");
}

/** Resolves when finished code was put into the folder. */
async function codeKept(cache: string): Promise<void> {
  for await (const { filename } of watch(cache, { signal: AbortSignal.timeout(15_000) })) {
    if (filename?.includes("-node") === true && readdirSync(cache).includes(filename)) return;
  }
}

function newCache(name: string): string {
  const cache = folder.join(name);
  mkdirSync(cache);
  return cache;
}

function onlyFile(cache: string): string {
  const [name = "", ...others] = readdirSync(cache);
  expect(others).toEqual([]);
  return join(cache, name);
}

describe.concurrent("the quick start", () => {
  it("keeps the code once, for its user alone, and nothing is written by the next start", async () => {
    const cache = newCache("fresh");
    expect(await runAgent(cache, async () => codeKept(cache))).toBe("");
    const file = onlyFile(cache);
    const { mode, mtimeMs, ino, size } = statSync(file);
    expect(mode & 0o777).toBe(0o600);
    expect(size).toBeGreaterThan(100_000);

    const touched = codeKept(cache).then(() => "written");
    const idle = new Promise<string>((resolve) => setTimeout(resolve, 6_000, "left alone"));
    await runAgent(cache, async () => {
      expect(await Promise.race([touched.catch(() => "left alone"), idle])).toBe("left alone");
    });
    expect(statSync(file)).toMatchObject({ mtimeMs, ino });
  });

  it.each<[what: string, spoil: (file: string) => void]>([
    ["is torn", (file) => writeFileSync(file, readFileSync(file).subarray(0, 50_000))],
    [
      "has a flipped bit",
      (file) => {
        const content = readFileSync(file);
        content[90_000] = (content[90_000] ?? 0) ^ 1;
        writeFileSync(file, content);
      },
    ],
    ["may be written by others", (file) => chmodSync(file, 0o666)],
  ])("does not use code that %s, and makes it anew", async (what, spoil) => {
    const cache = newCache(what.replaceAll(" ", "-"));
    await runAgent(cache, async () => codeKept(cache));
    spoil(onlyFile(cache));
    expect(await runAgent(cache, async () => codeKept(cache))).toBe("");
    expect(statSync(onlyFile(cache)).mode & 0o777).toBe(0o600);
  });

  it("starts without a folder, and where the folder is missing", async () => {
    const child = spawn(process.execPath, [quickStart, "--version"], { env: {}, stdio: "ignore" });
    expect(await once(child, "exit")).toEqual([0, null]);
    const env = { CACHE_DIRECTORY: "/nowhere/at/all" };
    const other = spawn(process.execPath, [quickStart, "--version"], { env, stdio: "ignore" });
    expect(await once(other, "exit")).toEqual([0, null]);
  });
});
