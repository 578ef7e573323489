import { build } from "esbuild";
import { leaveOut } from "./left-out.ts";

/**
 * Packages written as CommonJS ask for Node's own modules by `require`, which an ES module does not have.
 * @see https://esbuild.github.io/content-types/#direct-eval and https://nodejs.org/api/module.html#modulecreaterequirefilename
 */
const banner =
  'import{createRequire as latebindRequire}from"node:module";const require=latebindRequire(import.meta.url);';

/**
 * Bundles a program and everything it imports into one ES module for Node 24, with its source map beside it
 * (`node --enable-source-maps` reads it). What `left-out.ts` names is not in it.
 * @returns how many source files went in.
 */
export async function bundleFile(entry: string, outfile: string): Promise<{ readonly inputs: number }> {
  const { metafile } = await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: "node",
    target: "node24",
    format: "esm",
    // Names stay: a stack in the journal has to be readable without the source map.
    minifySyntax: true, minifyIdentifiers: true,
    minifyWhitespace: true,
    // A crash prints the line it happened in.
    lineLimit: 160,
    supported: { using: true },
    // V8 keeps the source text in memory: one byte a character, or two as soon as there is one beyond Latin-1.
    charset: "ascii",
    legalComments: "linked",
    sourcemap: true,
    metafile: true,
    banner: { js: banner },
    plugins: [leaveOut],
    logLevel: "warning",
  });
  return { inputs: Object.keys(metafile.inputs).length };
}
