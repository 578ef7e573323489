import { createHash } from "node:crypto";
import { lstatSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Release } from "./release.ts";
import { runTool } from "./run-tool.ts";
import type { Tree } from "./tree.ts";

/** One binary package, ready to be packed. */
export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  readonly tree: Tree;
  /** Fields of `DEBIAN/control` beside Package, Version, Architecture, Maintainer and Installed-Size. */
  readonly control: Readonly<Record<string, string>>;
  /** Files that dpkg asks about before it replaces what the administrator changed. */
  readonly conffiles: readonly string[];
  /** Maintainer scripts and triggers by name. */
  readonly scripts: Readonly<Record<string, string>>;
}

const maintainer = "latebind maintainers <maintainers@latebind.invalid>";

/** Packs the tree, `none` being quick. One thread, because xz cuts its blocks by their number. @returns the file. */
export async function archive(
  { name, version, tree, control, conffiles, scripts }: DebianPackage,
  output: string,
  { target }: Release,
  compression: "xz" | "none",
): Promise<string> {
  const files = tree.files();
  const fields = {
    Package: name,
    Version: version,
    Architecture: target.debian,
    Maintainer: maintainer,
    "Installed-Size": String(installedKilobytes(tree, files)),
    ...control,
  };
  const text = Object.entries(fields).map(([field, value]) => `${field}: ${value}\n`);
  tree.write("DEBIAN/control", text.join(""));
  tree.write("DEBIAN/md5sums", files.map((path) => `${md5(join(tree.folder, path))}  ${path}\n`).join(""));
  if (conffiles.length > 0) tree.write("DEBIAN/conffiles", conffiles.map((path) => `${path}\n`).join(""));
  for (const [script, content] of Object.entries(scripts))
    tree.write(`DEBIAN/${script}`, content, script === "triggers" ? 0o644 : 0o755);
  const file = join(output, `${name}_${version}_${target.debian}.deb`);
  runTool("dpkg-deb", [
    "--root-owner-group",
    "--threads-max=1",
    `-Z${compression}`,
    "--build",
    tree.folder,
    file,
  ]);
  return file;
}

/** As dpkg-gencontrol counts: each file in whole kilobytes, and one for each folder. */
function installedKilobytes(tree: Tree, files: readonly string[]): number {
  const folders = new Set(
    files.flatMap((path) => path.split("/").map((_, at, all) => all.slice(0, at).join("/"))),
  );
  return files.reduce(
    (sum, path) => sum + Math.ceil(lstatSync(join(tree.folder, path)).size / 1024),
    folders.size,
  );
}

function md5(path: string): string {
  return createHash("md5").update(readFileSync(path)).digest("hex");
}
