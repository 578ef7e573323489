import { join } from "node:path";
import { AgentError, systemCode } from "../../platform/failure.ts";
import {
  describePath,
  listDirectory,
  makeDirectory,
  readIfPresent,
  removeIfPresent,
  writeFileAtomically,
} from "../../platform/files.ts";
import { isJson, isJsonObject, parseJson } from "../../platform/json.ts";

/** A key that this program laid into a TPM, where it stays when the program is gone. */
export interface MadeKey {
  /** `0x81010001` */
  readonly handle: string;
  readonly what: "endorsement key" | "storage root key" | "private key";
  /** What the TPM knows the key by, in hex; another key at the same handle has another one. */
  readonly name: string;
}

/** `tpm-0x81010001.json` in the state directory. */
export const madeKeyFile = /^tpm-0x81[0-7][0-9a-f]{5}\.json$/;

/**
 * Remembers on disk which keys in a TPM are ours, one file for each, so that a device that is taken out of service loses those and
 * no others. Root makes keys too: the files belong to whom the directory belongs to.
 */
export class MadeKeys {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /**
   * To be called before the key is laid at its handle: a power cut between the two must not make it nobody's.
   * @throws AgentError `platform/state-not-written` (retry).
   */
  async note(key: MadeKey): Promise<void> {
    await this.#trying(async () => {
      await makeDirectory(this.#directory, 0o700);
      const owner = await describePath(this.#directory);
      await writeFileAtomically(this.#path(key.handle), `${JSON.stringify(key)}\n`, {
        mode: 0o600,
        ...(owner !== undefined && { uid: owner.uid, gid: owner.gid }),
      });
    });
  }

  /** The key at this handle is not ours, or no longer there. @throws AgentError `platform/state-not-written` (retry). */
  async forget(handle: string): Promise<void> {
    await this.#trying(async () => removeIfPresent(this.#path(handle)));
  }

  /** In the order of their handles; what is damaged is left out. @throws the system's error (`EACCES`, …). */
  async all(): Promise<readonly MadeKey[]> {
    const keys: MadeKey[] = [];
    for (const file of await listDirectory(this.#directory)) {
      const path = join(this.#directory, file);
      // Root reads what the service's user may have put there: no link is followed, no pipe waited for.
      if (!madeKeyFile.test(file) || (await describePath(path))?.kind !== "file") continue;
      const bytes = await readIfPresent(path);
      const key = parseKey(bytes === undefined ? undefined : parseJson(bytes));
      if (key !== undefined && this.#path(key.handle) === path) keys.push(key);
    }
    return keys;
  }

  #path(handle: string): string {
    return join(this.#directory, `tpm-${handle.toLowerCase()}.json`);
  }

  async #trying(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const code = systemCode(error);
      if (code === "") throw error;
      throw new AgentError(
        "platform/state-not-written",
        "retry",
        `cannot write down in ${this.#directory} which keys in the TPM are ours (${code}). Run this as root, and check free space and owner of ${this.#directory}`,
        { cause: error },
      );
    }
  }
}

function parseKey(value: unknown): MadeKey | undefined {
  if (!isJson(value) || !isJsonObject(value)) return undefined;
  const { handle, what, name } = value;
  if (typeof handle !== "string" || !/^0x81[0-7][0-9a-f]{5}$/i.test(handle)) return undefined;
  if (typeof name !== "string" || name === "") return undefined;
  const kind = kinds.find((known) => known === what);
  return kind === undefined ? undefined : { handle, what: kind, name };
}

const kinds: readonly MadeKey["what"][] = ["endorsement key", "storage root key", "private key"];
