import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = join(import.meta.dirname, "../..");

/** The packages under test. */
export interface Packages {
  readonly runtime: string;
  readonly agent: string;
}

/** Builds both packages as they are in the sources: quickly, or as they are shipped. */
export async function buildPackages(
  folder: string,
  how: "quick" | "shipped" = "quick",
  arch: "amd64" | "arm64" = "amd64",
): Promise<Packages> {
  const quick = how === "quick" ? ["--quick"] : [];
  const options = ["--arch", arch, "--version", "1.0.0", "--output", folder];
  await run(process.execPath, ["packaging/deb.ts", ...quick, ...options], { cwd: root });
  const names = await readdir(folder);
  const find = (start: string) => join(folder, names.find((name) => name.startsWith(start)) ?? start);
  return { runtime: find("latebind-runtime_"), agent: find("latebind_") };
}

/** The same package under another version, and changed by a shell that runs in its tree. @returns its file. */
export async function repack(deb: string, version: string, change = ":"): Promise<string> {
  const tag = createHash("sha256").update(`${version}${change}`).digest("hex").slice(0, 8);
  const folder = `${deb}.${tag}`;
  const file = `${folder}.deb`;
  if (existsSync(file)) return file;
  await mkdir(folder);
  await run("dpkg-deb", ["--raw-extract", deb, join(folder, "tree")]);
  const control = join(folder, "tree/DEBIAN/control");
  await writeFile(
    control,
    (await readFile(control, "utf8")).replace(/^Version: .*$/m, `Version: ${version}`),
  );
  await run("sh", ["-ec", change], { cwd: join(folder, "tree") });
  await run("dpkg-deb", ["--root-owner-group", "-Znone", "--build", join(folder, "tree"), file]);
  await rm(folder, { recursive: true });
  return file;
}
