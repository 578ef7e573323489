import { AgentError } from "../../platform/failure.ts";
import type { WrappedKey } from "../identity.ts";
import { parseAuthenticationKey } from "./authentication-key.ts";
import { readAuthorization } from "./read-authorization.ts";
import { isAboutInput } from "./response-code.ts";
import type { TpmCommands } from "./tpm-commands.ts";
import { sessionFile, type TpmSettings } from "./tpm.ts";

/**
 * Lets the TPM open a key that a service has wrapped for it, and gives it back wrapped by the TPM's own storage root key.
 *
 * Nothing stays in the TPM. The secret that opens the inner wrapping is in the work folder for a moment, and with the service's
 * answer would give the key away: that is why the folder is in memory and closed to others.
 * @param authenticationKey base64, as DPS sends it.
 * @throws AgentError `identity/tpm-blob-malformed`, `identity/tpm-blob-damaged` (retry), `identity/tpm-blob-foreign` (operator), and
 *   as `TpmCommands`, `readAuthorization`.
 * @see TPM 2.0 Library Part 3: 12.5 TPM2_ActivateCredential, 13.3 TPM2_Import
 */
export async function takeInKey(
  commands: TpmCommands,
  { ekHandle, srkHandle, ...settings }: TpmSettings,
  authenticationKey: string,
): Promise<WrappedKey> {
  const { credential, duplicate, seed, publicArea } = parseAuthenticationKey(authenticationKey);
  const { folder } = commands;
  folder.write("credential", credential);
  folder.write("duplicate", duplicate);
  folder.write("seed", seed);
  folder.write("public", publicArea);
  const auth = await readAuthorization(commands, { ekHandle, srkHandle, ...settings }, "endorsement");
  await commands.run("startauthsession", ["--policy-session", "-g", "sha256", "-S", sessionFile]);
  await commands.run("policysecret", ["-S", sessionFile, "-c", "e", ...(auth === undefined ? [] : [auth])]);
  const session = ["-P", `session:${sessionFile}`];
  const keys = ["-c", srkHandle, "-C", ekHandle];
  await open(
    commands,
    "activatecredential",
    [...keys, ...session, "-i", "credential", "-o", "inner"],
    foreign,
  );
  const wrapping = ["-G", "hmac", "-k", "inner", "-s", "seed"];
  const files = ["-i", "duplicate", "-u", "public", "-r", "private"];
  await open(commands, "import", ["-C", srkHandle, ...wrapping, ...files], damaged);
  return { public: publicArea.toString("base64"), private: folder.read("private").toString("base64") };
}

/** A TPM tells a wrong key and changed bytes with one number, or with another each: which step failed says more. */
async function open(
  commands: TpmCommands,
  tool: string,
  args: readonly string[],
  because: (cause: AgentError) => AgentError,
): Promise<void> {
  const result = await commands.attempt(tool, args);
  if (result.status === "done") return;
  const failure = await commands.refusal(tool, result.code);
  const isWrong = failure.code === "identity/tpm-refused" && isAboutInput(result.code);
  throw isWrong ? because(failure) : failure;
}

function foreign(cause: AgentError): AgentError {
  return new AgentError(
    "identity/tpm-blob-foreign",
    "operator",
    "the service sent a key that was wrapped for another TPM, or for a storage root key that this one no longer has. " +
      "Compare the endorsement key of the enrollment with that of this device",
    { cause },
  );
}

function damaged(cause: AgentError): AgentError {
  return new AgentError(
    "identity/tpm-blob-damaged",
    "retry",
    "the service sent a key whose wrapping does not hold together: the TPM opened its envelope and refused the content",
    { cause },
  );
}
