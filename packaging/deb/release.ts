import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { runTool } from "./run-tool.ts";
import type { Target } from "./target.ts";

/** What is the same for all that one build makes. */
export interface Release {
  /** Top of the sources. */
  readonly root: string;
  /** A folder for whatever is made on the way. */
  readonly work: string;
  readonly target: Target;
  /** Of the package latebind. */
  readonly version: string;
  /** Seconds since 1970 that every file and document bears: the commit's. */
  readonly date: number;
}

/**
 * `0.1.0` for a commit with the tag `v0.1.0`, else `0.1.0~20261122060000.g694dcd5`, which sorts before it and after those of
 * earlier commits.
 */
export function packageVersion(root: string): string {
  const manifest: unknown = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const { version } = v.parse(v.object({ version: v.string() }), manifest);
  const tags = git(root, "tag", "--points-at", "HEAD").split("\n");
  if (tags.includes(`v${version}`)) return version;
  const digits = new Date(sourceDate(root) * 1000).toISOString().replaceAll(/\D/g, "").slice(0, 14);
  return `${version}~${digits}.g${git(root, "rev-parse", "--short=7", "HEAD")}`;
}

/** `$SOURCE_DATE_EPOCH`, else the time of the last commit. */
export function sourceDate(root: string): number {
  const given = process.env["SOURCE_DATE_EPOCH"];
  return Number(given ?? git(root, "log", "-1", "--format=%ct"));
}

function git(root: string, ...args: readonly string[]): string {
  return runTool("git", ["-c", `safe.directory=${root}`, "-C", root, ...args]).trim();
}
