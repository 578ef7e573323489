import { mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { agentPackage } from "./deb/agent-package.ts";
import { archive } from "./deb/archive.ts";
import { packageVersion, sourceDate } from "./deb/release.ts";
import { runtimePackage } from "./deb/runtime-package.ts";
import { targetOf } from "./deb/target.ts";

/**
 * `npm run deb`: the two Debian packages, `latebind` (the agent, which changes often) and `latebind-runtime` (a private Node,
 * which changes with Node's security releases). The same commit gives the same bytes, wherever and whenever.
 *
 * `-- --arch arm64` builds for the other architecture, `--only latebind` one of the two, `--quick` does not compress (for tests).
 */
const root = join(import.meta.dirname, "..");
const { values: options } = parseArgs({
  options: {
    arch: { type: "string", default: process.arch === "arm64" ? "arm64" : "amd64" },
    output: { type: "string", default: join(root, "dist", "deb") },
    only: { type: "string" },
    version: { type: "string" },
    quick: { type: "boolean", default: false },
  },
});
const target = targetOf(options.arch);
const date = sourceDate(root);
// The bundle and dpkg-deb read it too.
process.env["SOURCE_DATE_EPOCH"] = String(date);
const output = resolve(options.output);
mkdirSync(output, { recursive: true });
const work = mkdtempSync(join(tmpdir(), "latebind-deb-"));
try {
  const release = {
    root,
    work,
    target,
    version: options.version ?? packageVersion(root),
    date: sourceDate(root),
  };
  for (const [name, build] of [
    ["latebind-runtime", runtimePackage],
    ["latebind", agentPackage],
  ] as const) {
    if (options.only !== undefined && options.only !== name) continue;
    const file = await archive(await build(release), output, release, options.quick ? "none" : "xz");
    process.stdout.write(`${relative(process.cwd(), file)}: ${(statSync(file).size / 1e6).toFixed(2)} MB\n`);
  }
} finally {
  rmSync(work, { recursive: true });
}
