import { join } from "node:path";
import type { Config } from "../config/config.ts";
import type { ConfigSources } from "../config/load.ts";
import { madeKeyFile, MadeKeys, type MadeKey } from "../identity/tpm/made-keys.ts";
import { describePath, listDirectory } from "../platform/files.ts";

/** What latebind made on this machine for itself, and what lies beside it and stays. */
export interface Belongings {
  readonly files: readonly OwnFile[];
  readonly keys: readonly MadeKey[];
  /** Notes about keys that cannot be read any more: paths. */
  readonly damagedNotes: readonly string[];
  readonly kept: readonly Kept[];
}

interface OwnFile {
  readonly what: "state" | "journal" | "code cache";
  readonly path: string;
}

export interface Kept {
  readonly what: string;
  readonly because: string;
}

/** The stores' two files each, with what a kill left of a write and what was set aside as damaged. */
const stateFile =
  /^(?:assignment|device|line|names|history)\.[ab]\.json(?:\.tmp-[A-Za-z0-9]+|\.damaged-\d+-[0-9a-f]+)?$/;
const unfinishedNote = /^\.tpm-0x[0-9a-f]{8}\.json\.latebind-tmp$/;
const journalFile = /^journal(?:\.1)?\.jsonl$/;
/** As `quick-start.cjs` names them. */
const codeFile = /^code-(?:[0-9a-f]{16}-node[0-9.]+|\d+)$/;

/**
 * Looks for what is ours by its name; only plain files are. Changes nothing.
 * @param cacheDirectory `$CACHE_DIRECTORY` of the service.
 * @throws the system's error (`EACCES`, …) where a folder cannot be read.
 */
export async function findBelongings(
  config: Config,
  sources: ConfigSources,
  cacheDirectory: string,
): Promise<Belongings> {
  const { stateDirectory } = sources;
  const keys = await new MadeKeys(stateDirectory).all();
  const noted = new Set(keys.map(({ handle }) => `tpm-${handle.toLowerCase()}.json`));
  const files: OwnFile[] = [];
  const damagedNotes: string[] = [];
  const strangers: string[] = [];
  for (const name of await listDirectory(stateDirectory)) {
    const path = join(stateDirectory, name);
    const isFile = (await describePath(path))?.kind === "file";
    if (isFile && (stateFile.test(name) || unfinishedNote.test(name))) files.push({ what: "state", path });
    else if (isFile && journalFile.test(name)) files.push({ what: "journal", path });
    else if (isFile && madeKeyFile.test(name)) {
      if (!noted.has(name)) damagedNotes.push(path);
    } else strangers.push(path);
  }
  for (const name of await listDirectory(cacheDirectory)) {
    const path = join(cacheDirectory, name);
    const isOurs = codeFile.test(name) && (await describePath(path))?.kind === "file";
    if (isOurs) files.push({ what: "code cache", path });
    else strangers.push(path);
  }
  const kept = [
    ...(await administrators(config, sources)),
    ...strangers.map((path) => ({ what: path, because: "it is not latebind's" })),
  ];
  return { files, keys, damagedNotes, kept };
}

/** Configuration and keys were put there by a person, and so were the rules by which other files were written. */
async function administrators(config: Config, { file }: ConfigSources): Promise<readonly Kept[]> {
  const because = "it is the administrator's";
  const keyFiles = config.key.scheme === "file" ? config.key.locations.map(({ path }) => path) : [];
  const paths: string[] = [];
  for (const path of [file, ...keyFiles]) if ((await describePath(path)) !== undefined) paths.push(path);
  return [
    ...paths.map((what) => ({ what, because })),
    ...(config.key.scheme === "pkcs11" ? [{ what: "the key in the PKCS#11 token", because }] : []),
    ...config.apply.flatMap((rule) =>
      rule.kind === "file" ? [{ what: rule.file, because: "what it configures still runs" }] : [],
    ),
  ];
}
