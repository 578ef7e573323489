import { existsSync } from "node:fs";
import { copyFile, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { bundleFile, bundleQuickStart } from "./bundle-file.ts";

/**
 * `npm run bundle`: the agent as the one file that packages ships, its source map, and beside it the TLS signer and
 * `quick-start.cjs`, by which the service starts it. Keys in PKCS#11 tokens also want the package pkcs11js in a `node_modules` at
 * or above the file.
 */
const root = join(import.meta.dirname, "..");
const outfile = join(root, "dist", "latebind.cjs");

const { inputs } = await bundleFile(join(root, "src", "main.ts"), outfile);
await bundleQuickStart(outfile, join(root, "dist", "quick-start.cjs"));
const signer = join(root, "src/identity/tls-signer/tls-signer.node");
if (existsSync(signer)) await copyFile(signer, join(root, "dist", "tls-signer.node"));
const { size } = await stat(outfile);
process.stdout.write(
  `${relative(root, outfile)}: ${(size / 1000).toFixed(0)} kB from ${inputs.length} source files\n`,
);
