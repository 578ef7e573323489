import { basename, dirname } from "node:path";
import { findAccount } from "../platform/accounts.ts";
import { systemCode } from "../platform/failure.ts";
import { removeIfPresent, writeFileAtomically, type FileAttributes } from "../platform/files.ts";
import { openFolder, type Folder } from "../platform/folder.ts";
import { inspectFile, type InspectedFile } from "../platform/inspect-file.ts";
import type { Outcome } from "./applier.ts";

/** Where content goes and how it is to look there. */
export interface Target {
  readonly file: string;
  readonly mode: number;
  readonly owner?: { readonly user: string; readonly group?: string };
}

export type Failed = Extract<Outcome, { status: "failed" }>;

/** What stood at the target. `content` is absent where it is larger than asked for. */
export type Found = Extract<InspectedFile, { kind: "file" | "missing" }>;

/**
 * Brings a file to the given content, mode and owner; does nothing where it has them.
 *
 * The folder is entered once and held, and no part of its path may be a symbolic link: whoever may rename something on the way cannot
 * lead the write elsewhere.
 * @returns whether it was written, or a failure by code: `appliers/owner-unknown`, `appliers/target-refused` (a symbolic link, or not a
 *   regular file), `appliers/folder-missing`, `appliers/file-not-written` (no permission, no space, …).
 */
export async function writeTarget(
  target: Target,
  content: string,
): Promise<{ readonly status: "written" | "same" } | Failed> {
  const wanted = await findAttributes(target);
  if ("unknown" in wanted) {
    const table = wanted.unknown.startsWith("user") ? "/etc/passwd" : "/etc/group";
    return failed("appliers/owner-unknown", `${target.file}: ${wanted.unknown} is not in ${table}`);
  }
  const bytes = Buffer.from(content, "utf8");
  return inFolder(target, async (folder) => {
    const entry = folder.entry(basename(target.file));
    const found = await inspectFile(entry, bytes.length);
    const refusal = refuse(target.file, found);
    if (refusal !== undefined) return refusal;
    if (isSame(found, bytes, wanted)) return { status: "same" };
    await writeFileAtomically(entry, bytes, wanted);
    return { status: "written" };
  });
}

/** What stands at the target, with its content up to `maxBytes`; failures as `writeTarget`. */
export async function readTarget(
  target: Target,
  maxBytes: number,
): Promise<{ readonly status: "read"; readonly found: Found } | Failed> {
  return inFolder(target, async (folder) => {
    const found = await inspectFile(folder.entry(basename(target.file)), maxBytes);
    if (found.kind === "file" || found.kind === "missing") return { status: "read", found };
    return refuse(target.file, found) ?? failed("appliers/target-refused", target.file);
  });
}

/** Brings back what `readTarget` found, or its absence; failures as `writeTarget`. */
export async function putBack(target: Target, found: Found): Promise<{ readonly status: "done" } | Failed> {
  return inFolder(target, async (folder) => {
    const entry = folder.entry(basename(target.file));
    if (found.kind === "missing") await removeIfPresent(entry);
    else await restore(entry, found);
    return { status: "done" };
  });
}

async function restore(entry: string, found: Extract<Found, { kind: "file" }>): Promise<void> {
  const { content = "", mode, uid, gid } = found;
  try {
    await writeFileAtomically(entry, content, { mode, uid, gid });
  } catch (error) {
    // Only root may give the file back to its owner; its content counts more.
    if (systemCode(error) !== "EPERM") throw error;
    await writeFileAtomically(entry, content, { mode });
  }
}

/** What differs in a file from this content, mode and owner, each in a few words; nothing where it has them. */
export async function compareTarget(target: Target, content: string): Promise<readonly string[]> {
  const wanted = await findAttributes(target);
  const bytes = Buffer.from(content, "utf8");
  const read = await readTarget(target, bytes.length);
  if (read.status === "failed") return [read.message];
  const { found } = read;
  if (found.kind === "missing") return [`${target.file} is missing`];
  if (found.content?.equals(bytes) !== true) return [`${target.file} has another content`];
  return "unknown" in wanted || isSame(found, bytes, wanted)
    ? []
    : [`${target.file} has another mode or owner`];
}

async function inFolder<T>(target: Target, work: (folder: Folder) => Promise<T>): Promise<T | Failed> {
  const path = dirname(target.file);
  try {
    const folder = await openFolder(path);
    if ("leadsTo" in folder) {
      const message = `${target.file}: a part of ${path} is a symbolic link; it leads to ${folder.leadsTo}, name that`;
      return failed("appliers/target-refused", message);
    }
    await using _ = folder;
    return await work(folder);
  } catch (error) {
    const code = systemCode(error);
    // An error without a system code is a bug, not a full disk.
    if (code === "") throw error;
    return failed(
      code === "ENOENT" ? "appliers/folder-missing" : "appliers/file-not-written",
      explain(target, code),
    );
  }
}

async function findAttributes(target: Target): Promise<FileAttributes | { readonly unknown: string }> {
  const { mode, owner } = target;
  if (owner === undefined) return { mode };
  const uid = await findAccount("user", owner.user);
  if (uid === undefined) return { unknown: `user "${owner.user}"` };
  if (owner.group === undefined) return { mode, uid };
  const gid = await findAccount("group", owner.group);
  return gid === undefined ? { unknown: `group "${owner.group}"` } : { mode, uid, gid };
}

function refuse(file: string, found: InspectedFile): Failed | undefined {
  switch (found.kind) {
    case "file":
    case "missing":
      return undefined;
    case "symbolic-link":
      return failed(
        "appliers/target-refused",
        `${file} is a symbolic link; name the file it points to, or remove the link`,
      );
    case "not-regular":
      return failed("appliers/target-refused", `${file} is not a regular file`);
  }
}

function failed(code: string, message: string): Failed {
  return { status: "failed", code, message };
}

function isSame(found: InspectedFile, bytes: Buffer, wanted: FileAttributes): boolean {
  return (
    found.kind === "file" &&
    found.content?.equals(bytes) === true &&
    found.mode === wanted.mode &&
    (wanted.uid === undefined || found.uid === wanted.uid) &&
    (wanted.gid === undefined || found.gid === wanted.gid)
  );
}

function explain({ file, owner }: Target, code: string): string {
  const folder = dirname(file);
  switch (code) {
    case "ENOENT":
      return `${file}: the folder does not exist; create it with: install -d -m 0755 ${folder}`;
    case "EACCES":
      return `${file}: no permission; the service user must be able to read the file and write in ${folder}`;
    case "EPERM":
      return owner === undefined
        ? `${file}: not permitted (EPERM)`
        : `${file}: only root may give a file to ${owner.user}`;
    case "ENOSPC":
      return `${file}: no space left on the device`;
    case "EDQUOT":
      return `${file}: disk quota exceeded`;
    case "EROFS":
      return `${file}: the file system is read-only; under systemd, add ${folder} to ReadWritePaths=`;
    default:
      return `${file}: could not be written (${code})`;
  }
}
