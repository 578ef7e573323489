import type { FileLocation } from "../read-key-file.ts";

/** Where a private key is that never leaves the TPM in the clear. */
export type TpmKeyPlace =
  /** In the TPM, at a persistent handle: `0x81000201`. */
  | { readonly kind: "handle"; readonly handle: string }
  /** In two files as tpm2_create writes them: the private half is wrapped by the storage root key, so that this TPM alone can use it. */
  | {
      readonly kind: "files";
      readonly public: readonly FileLocation[];
      readonly private: readonly FileLocation[];
    };
