import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = join(import.meta.dirname, "../..");

/** A disk image that lasts as long as it is held. */
export interface Payload extends AsyncDisposable {
  readonly path: string;
}

/**
 * What is brought into a machine: `node`, the agent as packages ship it in `agent/`, and these files.
 * @param files content by name.
 */
export async function packPayload(files: Readonly<Record<string, string>>): Promise<Payload> {
  const folder = await mkdtemp(join(tmpdir(), "latebind-payload-"));
  const content = join(folder, "content");
  await mkdir(join(content, "agent"), { recursive: true });
  await run(process.execPath, [join(root, "packaging", "bundle.ts")]);
  for (const name of ["latebind.cjs", "tls-signer.node"])
    await cp(join(root, "dist", name), join(content, "agent", name));
  await cp(process.execPath, join(content, "node"));
  for (const [name, text] of Object.entries(files)) await writeFile(join(content, name), text);
  const path = join(folder, "payload.ext4");
  await run("mke2fs", ["-q", "-t", "ext4", "-d", content, path, "256M"]);
  await rm(content, { recursive: true });
  return { path, [Symbol.asyncDispose]: async () => rm(folder, { recursive: true }) };
}
