import { AgentError } from "../../platform/failure.ts";
import { factOf, printCode } from "./response-code.ts";

interface Circumstances {
  /** What `tpm2_getcap properties-variable` printed, for a lockout. */
  readonly lockout?: string;
  /** Whether the TPM answers nothing at all any more. */
  readonly isDead?: boolean;
}

/** What the TPM takes to forget a failed try where it does not say. */
const defaultRecoveryMs = 1_000_000;

/**
 * Gives a refusal of the TPM its code, remedy and sentence.
 *
 * `identity/tpm-authorization` and `identity/tpm-dead` (operator), `identity/tpm-locked-out` (retry, `retryAfterMs`: when it ends),
 * `identity/tpm-out-of-sessions`, `identity/tpm-out-of-memory`, `identity/tpm-refused` (retry).
 */
export function tpmFailure(tool: string, code: number, circumstances: Circumstances = {}): AgentError {
  const what = `tpm2_${tool}: ${printCode(code)}`;
  switch (factOf(code)) {
    case "authorization":
      return new AgentError(
        "identity/tpm-authorization",
        "operator",
        `the TPM asks for an authorization value that it was not given, or another one (${what}). Put the value of the owner or ` +
          "endorsement hierarchy into a file with mode 0600 and name it in [tpm] owner_auth or endorsement_auth",
      );
    case "lockout":
      return lockedOut(what, circumstances.lockout ?? "");
    case "no-sessions":
      return new AgentError(
        "identity/tpm-out-of-sessions",
        "retry",
        `all sessions of the TPM are taken, though abandoned ones were flushed (${what}). Look for the program that holds them: tpm2_getcap handles-saved-session`,
      );
    case "no-memory":
      return new AgentError(
        "identity/tpm-out-of-memory",
        "retry",
        `the TPM has no room for another key (${what}). Use it through a resource manager: [tpm] tcti = "/dev/tpmrm0" or "tabrmd:"`,
      );
    case "failure":
      return circumstances.isDead === true ? dead(what) : refused(what);
    case "not-initialized":
      return dead(what);
    case "empty-handle":
    case "occupied-handle":
    case "integrity":
    case "other":
      return refused(what);
  }
}

function lockedOut(what: string, properties: string): AgentError {
  const recovery = /TPM2_PT_LOCKOUT_INTERVAL:\s*0x([0-9A-Fa-f]+)/.exec(properties)?.[1];
  const retryAfterMs =
    recovery === undefined ? defaultRecoveryMs : Math.max(1, Number.parseInt(recovery, 16)) * 1000;
  return new AgentError(
    "identity/tpm-locked-out",
    "retry",
    `the TPM is locked out after too many wrong authorization values (${what}). It takes a try again in ${Math.ceil(retryAfterMs / 60_000)} min at the latest. ` +
      "To end it now: tpm2_dictionarylockout -c. A key that is made with the attribute noda is not concerned",
    { retryAfterMs },
  );
}

function dead(what: string): AgentError {
  return new AgentError(
    "identity/tpm-dead",
    "operator",
    `the TPM answers nothing but failure (${what}). Switch the machine off and on; if that does not help, the TPM is broken`,
  );
}

function refused(what: string): AgentError {
  return new AgentError(
    "identity/tpm-refused",
    "retry",
    `the TPM refused a command (${what}). tpm2_rc_decode says what the number means`,
  );
}
