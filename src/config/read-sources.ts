import { isUtf8 } from "node:buffer";
import { dirname, join } from "node:path";
import { systemCode } from "../platform/failure.ts";
import { describePath, listDirectory, readIfPresent } from "../platform/files.ts";
import { currentUser } from "../platform/user.ts";
import type { Problem } from "./problem.ts";
import { parseTree, type TableTree } from "./toml-tree.ts";

export interface Sources {
  /** The main file and every drop-in, readable or not. */
  readonly files: readonly string[];
  readonly trees: readonly TableTree[];
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/**
 * Reads the main file and `config.d/*.toml` beside it, in the order of the names.
 * @param mayBeMissing whether there need not be a main file.
 */
export async function readSources(mainFile: string, mayBeMissing = false): Promise<Sources> {
  const dropIns = await listDropIns(join(dirname(mainFile), "config.d"));
  const results: (TableTree | Problem | undefined)[] = [
    mayBeMissing ? await readOne(mainFile) : await readMain(mainFile),
  ];
  for (const file of dropIns.files) results.push(await readOne(file));
  const read = results.filter((result) => result !== undefined);
  const files = [mainFile, ...dropIns.files];
  return {
    files,
    trees: read.filter((result) => "kind" in result),
    problems: [...read.filter((result) => "message" in result), ...dropIns.problems],
    warnings: [...(await warnOfWriters(files)), ...dropIns.warnings],
  };
}

/** Who may write the configuration decides what the agent writes and runs. */
async function warnOfWriters(files: readonly string[]): Promise<readonly Problem[]> {
  const warnings: Problem[] = [];
  for (const file of files) {
    const mode = await modeOf(file);
    if (mode === undefined || (mode & 0o002) === 0) continue;
    warnings.push({
      file,
      message: `expected a file that only its owner may write, found mode ${octal(mode)}`,
      fix: `run: chmod o-w ${file}`,
    });
  }
  return warnings;
}

async function readMain(file: string): Promise<TableTree | Problem> {
  return (
    (await readOne(file)) ?? {
      file,
      message: "expected the configuration file, found no such file",
      fix: 'create it; one line is enough: id_scope = "0ne00XXXXXX". The command "latebind config template" prints every setting',
    }
  );
}

async function readOne(file: string): Promise<TableTree | Problem | undefined> {
  try {
    const bytes = await readIfPresent(file);
    return bytes === undefined ? undefined : parseTree(file, decode(bytes));
  } catch (error) {
    return unreadable(file, error);
  }
}

/**
 * A byte order mark is dropped: editors on Windows write one.
 * @throws TypeError for bytes that are not UTF-8.
 */
function decode(bytes: Buffer): string {
  // TextDecoder would do both, but loading it takes longer than reading the file.
  if (!isUtf8(bytes)) throw new TypeError("not UTF-8");
  return bytes.toString("utf8").replace(/^\uFEFF/, "");
}

async function listDropIns(directory: string): Promise<{
  readonly files: readonly string[];
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}> {
  try {
    const names = (await listDirectory(directory)).filter((name) => !name.startsWith("."));
    const files = names.filter((name) => name.endsWith(".toml")).map((name) => join(directory, name));
    const ignored = names.filter((name) => !name.endsWith(".toml")).map((name) => join(directory, name));
    return { files, problems: [], warnings: ignored.map(ignoredFile) };
  } catch (error) {
    return { files: [], problems: [await unreadable(directory, error)], warnings: [] };
  }
}

function ignoredFile(file: string): Problem {
  return {
    file,
    message: "not read: drop-ins end in .toml",
    fix: "rename the file, or move it out of the folder",
  };
}

async function unreadable(file: string, error: unknown): Promise<Problem> {
  if (error instanceof TypeError) {
    return { file, message: "expected UTF-8 text, found other bytes", fix: "save the file as UTF-8" };
  }
  const code = systemCode(error);
  if (code === "") throw error;
  if (code !== "EACCES") {
    return { file, message: `cannot be read (${code})`, fix: "see that it is a readable file" };
  }
  const mode = await modeOf(file);
  const user = currentUser();
  return {
    file,
    message: `cannot be read by the user ${user} (${mode === undefined ? "its folder is closed" : `mode ${octal(mode)}`})`,
    fix: `as root, let the user read it: chgrp ${user} ${file}; chmod g+r ${file}`,
  };
}

/** The mode bits, or undefined where there is no such file or its folder is closed to this user. */
async function modeOf(file: string): Promise<number | undefined> {
  try {
    return (await describePath(file))?.mode;
  } catch (error) {
    if (systemCode(error) === "") throw error;
    return undefined;
  }
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}
