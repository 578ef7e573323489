import type { Diagnosis } from "./key-doc.ts";
import { isCleanAbsolutePath } from "./value-schemas.ts";

/** A key of the TPM of this machine, which `[tpm]` says how to reach. */
export type Tpm2Uri =
  /** The key that it gets from the provisioning service. */
  | { readonly scheme: "tpm2" }
  /** The private key of a certificate. */
  | { readonly scheme: "tpm2-key"; readonly place: Tpm2KeyPlace<string> };

/** At a persistent handle (`0x81000201`), or in two files as tpm2_create writes them, wrapped for this TPM alone. */
export type Tpm2KeyPlace<File> =
  | { readonly kind: "handle"; readonly handle: string }
  | { readonly kind: "files"; readonly public: File; readonly private: File };

/**
 * Reads `tpm2:`, `tpm2:handle=0x81000201` and `tpm2:public=device.pub&private=device.priv`, where the files are named as with
 * `file:`, by a plain name or an absolute path.
 * @returns undefined for everything else; `explainTpm2Uri` says why.
 */
export function parseTpm2Uri(text: string): Tpm2Uri | undefined {
  if (text === "tpm2:") return { scheme: "tpm2" };
  const handle = /^tpm2:handle=(.*)$/.exec(text)?.[1];
  if (handle !== undefined)
    return isPersistentHandle(handle)
      ? { scheme: "tpm2-key", place: { kind: "handle", handle: handle.toLowerCase() } }
      : undefined;
  const [, publicFile = "", privateFile = ""] = /^tpm2:public=([^&=]+)&private=([^&=]+)$/.exec(text) ?? [];
  if (!isNameOrPath(publicFile) || !isNameOrPath(privateFile)) return undefined;
  return { scheme: "tpm2-key", place: { kind: "files", public: publicFile, private: privateFile } };
}

export function explainTpm2Uri(text: string): Partial<Diagnosis> {
  if (text.startsWith("tpm2:handle="))
    return {
      found: 'a "tpm2:" URI with a handle that the owner of a TPM cannot give',
      fix: 'write the one of the key, from 0x81000000 to 0x817fffff, such as "tpm2:handle=0x81000201"',
    };
  return {
    found: 'a "tpm2:" URI with something else behind the colon than a handle or two files',
    fix: 'write "tpm2:" alone for the key that the provisioning service gives; for the private key of a certificate "tpm2:handle=0x81000201" or "tpm2:public=device.pub&private=device.priv"; how to reach the TPM is said in [tpm]',
  };
}

/** Part 2, 7.4 and the TCG's registry of handles: 0x81000000 to 0x817FFFFF are the owner's, the rest is the platform's. */
export function isPersistentHandle(text: string): boolean {
  return /^0x81[0-7][0-9a-f]{5}$/i.test(text);
}

/** What `file:` and the files of `tpm2:` name: a name without `/` is looked up later. */
export function isNameOrPath(text: string): boolean {
  if (text.startsWith("/")) return isCleanAbsolutePath(text);
  return !text.includes("/") && isCleanAbsolutePath(`/${text}`);
}
