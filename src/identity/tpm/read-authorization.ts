import { AgentError } from "../../platform/failure.ts";
import { readPrivateFile } from "../../platform/private-file.ts";
import type { FileLocation } from "../read-key-file.ts";
import type { TpmCommands } from "./tpm-commands.ts";
import type { TpmSettings } from "./tpm.ts";

type Hierarchy = "owner" | "endorsement";

/**
 * Lays the authorization value of a hierarchy into the work folder, where one is configured.
 * @returns what tpm2-tools take for it, `file:owner.auth`; undefined where none is configured.
 * @throws AgentError `identity/tpm-authorization-missing`, `identity/tpm-authorization-unusable` (operator).
 */
export async function readAuthorization(
  { folder }: TpmCommands,
  { ownerAuth, endorsementAuth }: TpmSettings,
  hierarchy: Hierarchy,
): Promise<string | undefined> {
  const locations = hierarchy === "owner" ? ownerAuth : endorsementAuth;
  if (locations === undefined) return undefined;
  const value = await readValue(locations, hierarchy);
  // In hex, so that no byte of it is taken for something else.
  folder.write(`${hierarchy}.auth`, `hex:${value.toString("hex")}`);
  value.fill(0);
  return `file:${hierarchy}.auth`;
}

async function readValue(locations: readonly FileLocation[], hierarchy: Hierarchy): Promise<Buffer> {
  for (const { path, isCredential } of locations) {
    const file = await readPrivateFile(path, isCredential);
    switch (file.status) {
      case "missing":
        continue;
      case "read":
        return withoutLineEnd(file.content, path);
      case "too-open":
        throw unusable(path, `others can read it. Run: chmod 0600 ${path}, and change the value`);
      case "foreign-owner":
        throw unusable(path, `it belongs to user ${file.uid}. Run: chown latebind ${path}`);
      case "not-a-file":
        throw unusable(path, "it is not a plain file");
      case "unreadable":
        throw unusable(path, `reading it fails (${file.systemCode}). Run: chown latebind ${path}`);
    }
  }
  const paths = locations.map(({ path }) => path);
  throw new AgentError(
    "identity/tpm-authorization-missing",
    "operator",
    `no authorization value: ${paths.join(" and ")} ${paths.length > 1 ? "do" : "does"} not exist. ` +
      `Put the value of the TPM's ${hierarchy} hierarchy into ${paths.at(-1)} with mode 0600`,
  );
}

/** An editor ends a line; a value of random bytes has no end of line, or had better none. */
function withoutLineEnd(content: Buffer, path: string): Buffer {
  const end = content.at(-1) === 0x0a ? (content.at(-2) === 0x0d ? -2 : -1) : content.length;
  const value = content.subarray(0, end);
  if (value.length === 0)
    throw unusable(path, "it is empty; take its line out of [tpm] if there is no value");
  if (value.length > 64) throw unusable(path, `it holds ${value.length} bytes, and a TPM takes 64 at most`);
  return value;
}

function unusable(path: string, because: string): AgentError {
  return new AgentError(
    "identity/tpm-authorization-unusable",
    "operator",
    `the authorization value in ${path} cannot be used: ${because}`,
  );
}
