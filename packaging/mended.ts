import { readFile } from "node:fs/promises";
import type { Plugin } from "esbuild";

/**
 * mqtt-packet keeps a buffer for each length of packet below 16,384 that it has ever sent, for as long as the process lives.
 * `platform/no-buffer-pool` keeps that to some 200 bytes a length; without this line nothing is kept.
 */
const keptBuffers = {
  file: /\/mqtt-packet\/writeToStream\.js$/,
  line: "if (num < 16384) varByteIntCache[num] = buffer",
} as const;

/** Takes the line out on the way into the bundle. Fails the build when mqtt-packet no longer has it: then this can go. */
export const mend: Plugin = {
  name: "mend",
  setup(build) {
    build.onLoad({ filter: keptBuffers.file }, async ({ path }) => {
      const source = await readFile(path, "utf8");
      if (source.split(keptBuffers.line).length !== 2)
        return { errors: [{ text: `${path} no longer has the line that packaging/mended.ts takes out` }] };
      return { contents: source.replace(keptBuffers.line, "") };
    });
  },
};
