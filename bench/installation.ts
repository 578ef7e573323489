import { join } from "node:path";

/**
 * What is measured, and the Node that runs all contestants: the bundle in `dist` on this very Node, or both as the Debian packages
 * install them, below the folder `LATEBIND_ROOT` (`npm run bench:installed`).
 */
export const installation: { readonly node: string; readonly agent: string } = (() => {
  const root = process.env["LATEBIND_ROOT"];
  return root === undefined
    ? { node: process.execPath, agent: join(import.meta.dirname, "..", "dist", "quick-start.cjs") }
    : { node: join(root, "usr/lib/latebind/node"), agent: join(root, "usr/lib/latebind/quick-start.cjs") };
})();
