import { createRequire } from "node:module";
import type * as Pkcs11js from "pkcs11js";
import { AgentError } from "../../platform/failure.ts";
import { fileStamp } from "../../platform/file-stamp.ts";
import { installedPkcs11Modules } from "../../platform/pkcs11-modules.ts";
import { cryptokiFailure, rawCodeOf } from "./cryptoki-failure.ts";

/** A PKCS#11 module in this process, initialised. */
export interface Cryptoki {
  readonly path: string;
  /** Of the file that was loaded. */
  readonly stamp: string | undefined;
  readonly module: Pkcs11js.PKCS11;
  /** The numbers of the standard: `pk.CKA_LABEL`. */
  readonly pk: typeof Pkcs11js;
}

/**
 * Loads a PKCS#11 module and initialises it, once in a process.
 * @throws AgentError `identity/pkcs11js-missing`, `identity/pkcs11-module-missing` (operator),
 *   `identity/token-failed` (retry).
 */
export function loadCryptoki(path: string): Cryptoki {
  const pk = loadPkcs11js();
  const module = new pk.PKCS11();
  const stamp = fileStamp(path);
  try {
    module.load(path);
  } catch (cause) {
    throw moduleMissing(path, cause);
  }
  try {
    // Without arguments, a module may assume that nothing else locks; p11-kit's client then refuses (PKCS#11 5.4).
    module.C_Initialize({ flags: pk.CKF_OS_LOCKING_OK });
  } catch (cause) {
    if (rawCodeOf(cause) !== pk.CKR_CRYPTOKI_ALREADY_INITIALIZED)
      throw cryptokiFailure(`the module ${path} does not start`, cause);
  }
  return { path, stamp, module, pk };
}

/** Ends every session and login of this module, so that the next load finds what is plugged in by then. */
export function unloadCryptoki({ module }: Cryptoki): void {
  try {
    module.C_Finalize();
  } catch {
    // A module that does not end properly is left alone all the same.
  }
  // Drops our hold on the library: after an upgrade the new file is loaded.
  module.close();
}

/** Loaded late and by name: most gateways never need it, and where it could not be built it is not installed. */
function loadPkcs11js(): typeof Pkcs11js {
  try {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the package's own declaration
    return createRequire(import.meta.url)("pkcs11js") as typeof Pkcs11js;
  } catch (cause) {
    throw new AgentError(
      "identity/pkcs11js-missing",
      "operator",
      "keys in a PKCS#11 token cannot be used: pkcs11js is not installed or does not fit this Node. " +
        "Run: apt-get install g++ make python3, then npm ci",
      { cause },
    );
  }
}

function moduleMissing(path: string, cause: unknown): AgentError {
  const installed = installedPkcs11Modules();
  const found = installed.length === 0 ? "none" : installed.join(", ");
  const because = cause instanceof Error ? cause.message : String(cause);
  return new AgentError(
    "identity/pkcs11-module-missing",
    "operator",
    `the PKCS#11 module cannot be loaded: ${because}. Modules on this machine: ${found}. ` +
      `Write one of them as module-path of \`key\`, or install the package of ${path}`,
    { cause },
  );
}
