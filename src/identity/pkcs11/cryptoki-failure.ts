import { AgentError } from "../../platform/failure.ts";

/** The number of a PKCS#11 return value, `0xa0`; undefined for any other error. */
export function rawCodeOf(error: unknown): number | undefined {
  return isCryptokiError(error) ? error.code : undefined;
}

/** `C_Sign: CKR_DEVICE_REMOVED`, for a person; the plain message of any other error. */
export function describeCryptokiError(error: unknown): string {
  if (isCryptokiError(error))
    return error.method === "" ? error.message : `${error.method}: ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}

/** `identity/token-failed`: the token answered with an error that time or a person may mend. The name of it is in the message. */
export function cryptokiFailure(what: string, cause: unknown): AgentError {
  return new AgentError("identity/token-failed", "retry", `${what} (${describeCryptokiError(cause)})`, {
    cause,
  });
}

/** pkcs11js: `message` is the name, `method` the function; 0 stands for an error of its own. */
function isCryptokiError(
  error: unknown,
): error is Error & { readonly code: number; readonly method: string } {
  return (
    error instanceof Error &&
    "code" in error &&
    typeof error.code === "number" &&
    error.code !== 0 &&
    "method" in error
  );
}
