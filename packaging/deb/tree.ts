import { chmodSync, copyFileSync, lstatSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";

/** The files of one package, under the folder that becomes it. Modes are set, whatever the umask is. */
export class Tree {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
    this.directory("");
  }

  directory(path: string): void {
    const whole = join(this.folder, path);
    if (path !== "" && path !== ".") this.directory(dirname(path));
    mkdirSync(whole, { recursive: true });
    chmodSync(whole, 0o755);
  }

  write(path: string, content: string | Uint8Array, mode = 0o644): void {
    this.directory(dirname(path));
    writeFileSync(join(this.folder, path), content);
    chmodSync(join(this.folder, path), mode);
  }

  /** Manuals and changelogs are compressed in Debian. */
  writeGzipped(path: string, content: string): void {
    this.write(`${path}.gz`, gzipSync(content, { level: 9 }));
  }

  copy(from: string, path: string, mode = 0o644): void {
    this.directory(dirname(path));
    copyFileSync(from, join(this.folder, path));
    chmodSync(join(this.folder, path), mode);
  }

  /** Paths of all files, sorted, without `DEBIAN/`. */
  files(): readonly string[] {
    return readdirSync(this.folder, { recursive: true, encoding: "utf8" })
      .filter((path) => !path.startsWith("DEBIAN") && lstatSync(join(this.folder, path)).isFile())
      .toSorted();
  }
}
