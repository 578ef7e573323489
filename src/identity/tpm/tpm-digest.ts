import { createHash } from "node:crypto";

/** Half of SHA-256 in hex: enough to tell TPMs apart. */
const half = 32;

/**
 * Names the credential that a TPM is, in 64 hex digits: the endorsement key, which is the TPM's own for ever, and then the storage
 * root key, which changes when the TPM is cleared.
 * @param keys their names, as the TPM computes them.
 */
export function tpmDigest(keys: {
  readonly endorsement: Uint8Array;
  readonly storageRoot: Uint8Array;
}): string {
  return [keys.endorsement, keys.storageRoot]
    .map((name) => createHash("sha256").update(name).digest("hex").slice(0, half))
    .join("");
}

/** Whether two digests are of one TPM, cleared in between or not. */
export function isSameTpm(one: string, other: string): boolean {
  return one.slice(0, half) === other.slice(0, half);
}
