import type { TpmKeyPlace } from "../../config/config.ts";
import { AgentError } from "../../platform/failure.ts";
import { readKeyFile } from "../read-key-file.ts";
import type { BlockingTpm } from "../tpm/blocking-tpm.ts";
import { parsePublicArea, type TpmPublic } from "../tpm/public-area.ts";
import { factOf } from "../tpm/response-code.ts";
import type { TpmCommands } from "../tpm/tpm-commands.ts";

const [publicFile, privateFile, context] = ["key.pub", "key.priv", "key.ctx"];

/**
 * Reads the public half of a key and finds out whether this TPM can use the private one.
 * @param tpm its folder gets what `loadKey` needs.
 * @param parent handle of the storage root key that wraps keys in files.
 * @throws AgentError as `TpmCommands` and `readKeyFile`; `identity/tpm-key-missing`, `identity/tpm-key-foreign`,
 *   `identity/tpm-parent-missing` (operator).
 */
export async function readKey(
  commands: TpmCommands,
  tpm: BlockingTpm,
  at: TpmKeyPlace,
  parent: string,
): Promise<TpmPublic | undefined> {
  if (at.kind === "handle") {
    const args = ["-Q", "-c", at.handle, "-o", publicFile];
    await attempt(commands, "readpublic", args, { "empty-handle": () => missing(at.handle) });
    return parsePublicArea(commands.folder.read(publicFile));
  }
  const halves = [
    [publicFile, await readKeyFile(at.public, "what tpm2_create -u wrote")],
    [privateFile, await readKeyFile(at.private, "what tpm2_create -r wrote")],
  ] as const;
  for (const [name, { content }] of halves) {
    tpm.folder.write(name, content);
    commands.folder.write(name, content);
  }
  const path = halves[1][1].path;
  await attempt(commands, "load", loadArguments(parent), {
    "empty-handle": () => parentMissing(parent),
    integrity: () => foreign(path, parent),
    other: () => foreign(path, parent),
  });
  return parsePublicArea(halves[0][1].content);
}

/** Makes the key known to the TPM. @returns what tools call it in the folder: a handle, or a file. */
export function loadKey(tpm: BlockingTpm, at: TpmKeyPlace, parent: string): string {
  if (at.kind === "handle") return at.handle;
  tpm.run("load", loadArguments(parent));
  return context;
}

function loadArguments(parent: string): readonly string[] {
  return ["-Q", "-C", parent, "-u", publicFile, "-r", privateFile, "-c", context];
}

type Refusals = Readonly<Partial<Record<ReturnType<typeof factOf>, () => AgentError>>>;

async function attempt(
  commands: TpmCommands,
  tool: string,
  args: readonly string[],
  refusals: Refusals,
): Promise<void> {
  const result = await commands.attempt(tool, args);
  if (result.status === "done") return;
  throw refusals[factOf(result.code)]?.() ?? (await commands.refusal(tool, result.code));
}

function missing(handle: string): AgentError {
  return new AgentError(
    "identity/tpm-key-missing",
    "operator",
    `the TPM has no key at ${handle}. Those it has: tpm2_getcap handles-persistent. Correct \`key\`, or make one there ` +
      "as the README says; a TPM that was cleared has lost its keys",
  );
}

function foreign(path: string, parent: string): AgentError {
  return new AgentError(
    "identity/tpm-key-foreign",
    "operator",
    `${path} cannot be used by this TPM: it was made in another one, for another storage root key than the one at ${parent}, or ` +
      "before the TPM was cleared; or the two files do not belong together. Make a new key as the README says, and have it certified",
  );
}

function parentMissing(parent: string): AgentError {
  return new AgentError(
    "identity/tpm-parent-missing",
    "operator",
    `the TPM has no storage root key at ${parent}, which has wrapped the key file. Name its handle in [tpm] srk_handle, or run ` +
      "latebind identity, which makes it; after the TPM was cleared it is another one, and the key file has to be made anew",
  );
}
