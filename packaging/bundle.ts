import { stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { bundleFile } from "./bundle-file.ts";

/** `npm run bundle`: the agent as the one file that packages ship, and its source map. */
const root = join(import.meta.dirname, "..");
const outfile = join(root, "dist", "latebind.cjs");

const { inputs } = await bundleFile(join(root, "src", "main.ts"), outfile);
const { size } = await stat(outfile);
process.stdout.write(
  `${relative(root, outfile)}: ${(size / 1000).toFixed(0)} kB from ${inputs} source files\n`,
);
