import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { TemporaryFolder } from "../platform/temporary-folder.ts";
import { execute } from "./execute.ts";
import { buildPackages, type Packages } from "./packages.ts";
import { systemRoot } from "./system-root.ts";

const run = promisify(execFile);
const folder = new TemporaryFolder();
let packages: Packages;

beforeAll(async () => {
  packages = await buildPackages(folder.join("debs"), "shipped");
});

afterAll(() => {
  folder[Symbol.dispose]();
});

async function field(deb: string, name: string): Promise<string> {
  return (await run("dpkg-deb", ["--field", deb, name])).stdout.trim();
}

it("the agent has at most 1 MB, the runtime 30 MB, and both together 115 MB installed", async () => {
  const sizes = {
    agentMB: statSync(packages.agent).size / 1e6,
    runtimeMB: statSync(packages.runtime).size / 1e6,
    installedMB:
      (Number(await field(packages.agent, "Installed-Size")) +
        Number(await field(packages.runtime, "Installed-Size"))) /
      1000,
  };
  console.log(sizes);
  expect(sizes.agentMB).toBeLessThanOrEqual(1);
  expect(sizes.runtimeMB).toBeLessThanOrEqual(30);
  expect(sizes.installedMB).toBeLessThanOrEqual(115);
});

it.each(["agent", "runtime"] as const)(
  "lintian finds nothing in the %s that is not explained",
  async (which) => {
    const { stdout } = await execute("lintian", [
      "--allow-root",
      "--tag-display-limit",
      "0",
      packages[which],
    ]);
    expect(stdout).toBe("");
  },
);

/** A repository with the runtime alone, from which piuparts takes what the agent depends on. */
async function repository(): Promise<string> {
  const control = (await run("dpkg-deb", ["--field", packages.runtime])).stdout.trimEnd();
  const digest = createHash("sha256").update(readFileSync(packages.runtime)).digest("hex");
  const place = `Filename: ./${basename(packages.runtime)}\nSize: ${statSync(packages.runtime).size}\nSHA256: ${digest}\n`;
  writeFileSync(folder.join("debs/Packages"), `${control}\n${place}`);
  return dirname(packages.runtime);
}

it(
  "piuparts installs, removes and purges it on Debian 12, and finds nothing left",
  { timeout: 600_000 },
  async () => {
    const base = folder.join("base.tar.gz");
    await run("sh", ["-c", `gzip -1 < ${await systemRoot("bookworm")} > ${base}`]);
    const place = await repository();
    const { exitCode, stdout } = await execute("nice", [
      "-n",
      "5",
      "piuparts",
      "--basetgz",
      base,
      "--distribution",
      "bookworm",
      "--no-upgrade-test",
      "--warn-on-others",
      "--bindmount",
      place,
      "--extra-repo",
      `deb [trusted=yes] file:${place} ./`,
      packages.agent,
    ]);
    expect({ exitCode, said: exitCode === 0 ? "" : stdout.slice(-3_000) }).toEqual({ exitCode: 0, said: "" });
    expect(stdout).toContain("PASS: All tests.");
  },
);
