import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";
import { leaveOut } from "./left-out.ts";
import { mend } from "./mended.ts";

const root = join(import.meta.dirname, "..");

/**
 * Bundles a program and everything it imports into one CommonJS file for Node 24, with its source map beside it
 * (`node --enable-source-maps` reads it). `isTrimmed`: without what `left-out.ts` names, and mended as `mended.ts` says.
 *
 * CommonJS, because an ES module that imports one name of `node:fs` makes Node load everything `node:fs` can do: 5 to 10 ms.
 * @returns absolute paths of the source files that went in.
 */
export async function bundleFile(
  entry: string,
  outfile: string,
  { isTrimmed } = { isTrimmed: true },
): Promise<{ readonly inputs: readonly string[] }> {
  const { metafile } = await build({
    // Paths of modules are in the output; they shall not tell where it was made.
    absWorkingDir: root,
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: "node",
    target: "node24",
    format: "cjs",
    // Names stay, so that a stack in the journal can be read without the source map; without them it is no faster.
    minifySyntax: true,
    minifyWhitespace: true,
    // A crash prints the line it happened in.
    lineLimit: 160,
    // Without import(), which code that V8 compiled earlier cannot do: require says the same of Node's own modules.
    supported: { using: true, "dynamic-import": false },
    // Native parts are found beside the file that asks for them; CommonJS has another word for that.
    define: { "import.meta.url": "bundleUrl", builtIntoBundleAtMs: String(builtAtMs()) },
    banner: { js: '"use strict";const bundleUrl=require("node:url").pathToFileURL(__filename).href;' },
    // V8 keeps the source text in memory: one byte a character, or two as soon as there is one beyond Latin-1.
    charset: "ascii",
    legalComments: "external",
    sourcemap: true,
    metafile: true,
    plugins: isTrimmed ? [leaveOut, mend] : [],
    logLevel: "warning",
  });
  return { inputs: Object.keys(metafile.inputs).map((path) => join(root, path)) };
}

/**
 * When this bundle was made, as the agent will believe it: a clock that says less is wrong. The same for each build of one
 * commit (https://reproducible-builds.org/docs/source-date-epoch/), and the present only where nobody knows the commit.
 */
function builtAtMs(): number {
  const git = ["-C", import.meta.dirname, "log", "-1", "--format=%ct"];
  const fromGit: { readonly stdout: string | null } = spawnSync("git", git, { encoding: "utf8" });
  const seconds = process.env["SOURCE_DATE_EPOCH"] ?? fromGit.stdout ?? "";
  return seconds.trim() === "" ? Date.now() : Number(seconds) * 1000;
}

/** Makes what starts the bundle `program`, and no other, with the code of an earlier start. They belong into one folder. */
export async function bundleQuickStart(program: string, outfile: string): Promise<void> {
  const digest = createHash("sha256")
    .update(await readFile(program))
    .digest("hex");
  await build({
    entryPoints: [join(import.meta.dirname, "quick-start.ts")],
    outfile,
    bundle: true,
    platform: "node",
    target: "node24",
    format: "cjs",
    banner: { js: '"use strict";' },
    define: { bundleDigest: JSON.stringify(digest) },
    logLevel: "warning",
  });
}
