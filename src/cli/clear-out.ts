import { dirname } from "node:path";
import { MadeKeys, type MadeKey } from "../identity/tpm/made-keys.ts";
import { removeMadeKey } from "../identity/tpm/remove-made-key.ts";
import type { Tpm } from "../identity/tpm/tpm.ts";
import { AgentError, systemCode } from "../platform/failure.ts";
import { removeIfPresent, syncDirectory } from "../platform/files.ts";
import type { Belongings } from "./belongings.ts";

/** What became of one thing. `left`: on purpose; `failed`: it is still there, and the command may be given again. */
export interface Cleared {
  readonly what: string;
  readonly where: string;
  readonly status: "removed" | "left" | "failed";
  readonly because?: string;
  readonly code?: string;
}

/**
 * Removes what is ours, keys of the TPM first; what fails does not keep the rest. A key's note goes only when the key is gone or is
 * no longer ours, so that the command can be given again.
 */
export async function clearOut(
  { files, keys, damagedNotes }: Belongings,
  stateDirectory: string,
  openTpm: () => Promise<Tpm>,
): Promise<readonly Cleared[]> {
  const cleared: Cleared[] = [];
  for (const key of keys) cleared.push(await clearKey(key, new MadeKeys(stateDirectory), openTpm));
  for (const where of damagedNotes) cleared.push({ what: "note about a TPM key", where, ...unreadable });
  for (const { what, path } of files) cleared.push({ what, where: path, ...(await clearFile(path)) });
  const removed = files.filter(({ path }) =>
    cleared.some(({ where, status }) => where === path && status === "removed"),
  );
  for (const folder of new Set(removed.map(({ path }) => dirname(path)))) await syncDirectory(folder);
  return cleared;
}

async function clearKey(key: MadeKey, notes: MadeKeys, openTpm: () => Promise<Tpm>): Promise<Cleared> {
  const thing = { what: `TPM ${key.what}`, where: key.handle };
  try {
    const removal = await removeMadeKey(await openTpm(), key, new AbortController().signal);
    await notes.forget(key.handle);
    switch (removal) {
      case "removed":
        return { ...thing, status: "removed" };
      case "absent":
        return { ...thing, status: "left", because: "nothing is there any more" };
      case "foreign":
        return {
          ...thing,
          status: "left",
          because: "another key lies there by now, and it is not latebind's",
        };
    }
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    return { ...thing, status: "failed", because: error.message, code: error.code };
  }
}

async function clearFile(path: string): Promise<Pick<Cleared, "status" | "because">> {
  try {
    await removeIfPresent(path);
    return { status: "removed" };
  } catch (error) {
    const code = systemCode(error);
    if (code === "") throw error;
    return { status: "failed", because: `removing it fails (${code}). Run this as root` };
  }
}

const unreadable = {
  status: "failed",
  because:
    "it is damaged, so nobody knows whether that key is ours. See tpm2_getcap handles-persistent, then remove the file",
} as const;
