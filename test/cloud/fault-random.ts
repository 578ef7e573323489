import { createHash } from "node:crypto";

/** Numbers from 0 to 1 that are the same for the same text, on every machine. */
export function createRandom(seed: string): () => number {
  let round = 0;
  return () => {
    round += 1;
    return createHash("sha256").update(`${seed}\n${round}`).digest().readUInt32BE(0) / 2 ** 32;
  };
}
