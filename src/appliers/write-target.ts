import { dirname } from "node:path";
import { findAccount } from "../platform/accounts.ts";
import { systemCode } from "../platform/failure.ts";
import { writeFileAtomically, type FileAttributes } from "../platform/files.ts";
import { inspectFile, type InspectedFile } from "../platform/inspect-file.ts";

/** Where content goes and how it is to look there. */
interface Target {
  readonly file: string;
  readonly mode: number;
  readonly owner?: { readonly user: string; readonly group?: string };
}

type WriteResult =
  | { readonly status: "done"; readonly changed: readonly string[] }
  | { readonly status: "failed"; readonly code: string; readonly message: string };

/**
 * Brings a file to the given content, mode and owner; does nothing where it has them.
 *
 * Failures by code: `appliers/owner-unknown`, `appliers/target-refused` (a symbolic link, or not a regular file),
 * `appliers/folder-missing`, `appliers/file-not-written` (no permission, no space, …).
 */
export async function writeTarget(target: Target, content: string): Promise<WriteResult> {
  const wanted = await findAttributes(target);
  if ("unknown" in wanted) {
    const table = wanted.unknown.startsWith("user") ? "/etc/passwd" : "/etc/group";
    const message = `${target.file}: ${wanted.unknown} is not in ${table}`;
    return { status: "failed", code: "appliers/owner-unknown", message };
  }
  const bytes = Buffer.from(content, "utf8");
  try {
    const found = await inspectFile(target.file, bytes.length);
    const refusal = refuse(target.file, found);
    if (refusal !== undefined) return refusal;
    if (isSame(found, bytes, wanted)) return { status: "done", changed: [] };
    await writeFileAtomically(target.file, bytes, wanted);
    return { status: "done", changed: [target.file] };
  } catch (error) {
    const code = systemCode(error);
    // An error without a system code is a bug, not a full disk.
    if (code === "") throw error;
    return {
      status: "failed",
      code: code === "ENOENT" ? "appliers/folder-missing" : "appliers/file-not-written",
      message: explain(target, code),
    };
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

function refuse(file: string, found: InspectedFile): WriteResult | undefined {
  switch (found.kind) {
    case "file":
    case "missing":
      return undefined;
    case "symbolic-link":
      return refused(file, "is a symbolic link; name the file it points to, or remove the link");
    case "not-regular":
      return refused(file, "is not a regular file");
  }
}

function refused(file: string, why: string): WriteResult {
  return { status: "failed", code: "appliers/target-refused", message: `${file} ${why}` };
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
