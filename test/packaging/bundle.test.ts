import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { absent } from "../../packaging/absent.ts";
import { bundleFile } from "../../packaging/bundle-file.ts";
import { configTemplate } from "../../src/config/template.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";

const main = join(import.meta.dirname, "..", "..", "src", "main.ts");
const folder = new TemporaryFolder();
const bundle = folder.join("latebind.cjs");

/** Runs the bundle in a folder without any `node_modules` above it. */
async function latebind(...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [bundle, ...args], { cwd: folder.path });
  return stdout;
}

beforeAll(async () => {
  await bundleFile(main, bundle);
});

afterAll(() => {
  folder[Symbol.dispose]();
});

describe("the bundle", () => {
  it("ends with 78 where there is no configuration, by the service's command line as by any other", async () => {
    const missing = folder.join("missing.toml");
    await expect(latebind("run", "--config", missing)).rejects.toMatchObject({ code: 78 });
    await expect(latebind("config", "check", `--config=${missing}`)).rejects.toMatchObject({ code: 78 });
  });

  it("says its version", async () => {
    expect(await latebind("--version")).toMatch(/^\d+\.\d+\.\d+/);
  });

  it("has the parts that only some commands need", async () => {
    expect(await latebind("config", "template")).toBe(configTemplate());
  });
});

function asFunction(value: unknown): Function {
  if (typeof value !== "function") throw new TypeError("not a function");
  return value;
}

describe("the stand-in for what is left out", () => {
  const stand = asFunction(absent("semver"));

  it.each<[how: string, use: () => unknown]>([
    ["called", () => Reflect.apply(stand, undefined, [])],
    ["made", () => Reflect.construct(stand, [])],
    ["called by a member", () => Reflect.apply(asFunction(Reflect.get(stand, "Range")), undefined, [])],
  ])("says so when it is %s", (_how, use) => {
    expect(use).toThrow("semver is not in the bundle; take it off the list in packaging/left-out.ts");
  });

  it("can be asked whether something is made by it", () => {
    expect({} instanceof stand).toBe(false);
  });
});
