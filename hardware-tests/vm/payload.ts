import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, relative } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = join(import.meta.dirname, "../..");

/** A disk image that lasts as long as it is held. */
export interface Payload extends AsyncDisposable {
  readonly path: string;
}

interface Contents {
  /** The Debian packages, in `deb/`. */
  readonly packages?: boolean;
  /** The sources and what they need to be tested, in `sources/`. */
  readonly sources?: boolean;
  /** Text by name. */
  readonly files?: Readonly<Record<string, string>>;
}

/** Packs what is to be brought into a machine. */
export async function packPayload({
  packages = false,
  sources = false,
  files = {},
}: Contents): Promise<Payload> {
  const folder = await mkdtemp(join(tmpdir(), "latebind-payload-"));
  const content = join(folder, "content");
  await mkdir(content);
  if (packages)
    await polite(process.execPath, "packaging/deb.ts", "--quick", "--output", join(content, "deb"));
  if (sources) await copySources(join(content, "sources"));
  for (const [name, text] of Object.entries(files)) await writeFile(join(content, name), text);
  const path = join(folder, "payload.ext4");
  await polite("mke2fs", "-q", "-t", "ext4", "-d", content, path, "1G");
  await rm(content, { recursive: true });
  return { path, [Symbol.asyncDispose]: async () => rm(folder, { recursive: true }) };
}

/** What tests never read, and is most of the weight. */
const unread =
  /^(\.git|dist|node_modules\/(\.cache|@oxlint|@oxlint-tsgolint|@oxfmt|oxlint|oxfmt|typescript|@typescript|knip)|test\/[\w-]+\/node_modules)$/;

async function copySources(to: string): Promise<void> {
  await cp(root, to, {
    recursive: true,
    verbatimSymlinks: true,
    filter: (path) => !unread.test(relative(root, path)) && basename(path) !== ".vite",
  });
}

/** Others may want the machine too. */
async function polite(...command: readonly string[]): Promise<void> {
  await run("nice", ["-n", "5", ...command], { cwd: root, maxBuffer: 64 * 1024 * 1024 });
}
