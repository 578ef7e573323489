import { writeSync } from "node:fs";
import { systemCode } from "./failure.ts";
import type { LineSink } from "./log.ts";

const attempts = 100;

/** Writes whole lines to a descriptor at once, so that SIGKILL loses none. A reader that has gone is no reason to stop. */
export function lineOutput(descriptor: number): LineSink {
  return {
    write(line) {
      const bytes = Buffer.from(line);
      let written = 0;
      for (let attempt = 0; written < bytes.length && attempt < attempts; attempt += 1) {
        try {
          written += writeSync(descriptor, bytes, written);
        } catch (error) {
          // A pipe that its reader does not empty says EAGAIN; everything else (EPIPE, EIO) will not get better.
          if (systemCode(error) !== "EAGAIN") return;
        }
      }
    },
  };
}
