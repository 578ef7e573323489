import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { loadConfig, type LoadedConfig } from "../../src/config/load.ts";
import { formatProblem } from "../../src/config/problem.ts";

export interface ConfigFolder extends AsyncDisposable {
  readonly path: string;
  load(environment?: { readonly credentialsDirectory?: string }): Promise<LoadedConfig>;
}

/** A folder such as /etc/latebind with these files in it; a text alone is the main file. */
export async function configFolder(
  files: string | Readonly<Record<string, string | Uint8Array>>,
): Promise<ConfigFolder> {
  const path = await mkdtemp(join(tmpdir(), "latebind-config-"));
  for (const [name, content] of Object.entries(
    typeof files === "string" ? { "config.toml": files } : files,
  )) {
    await mkdir(dirname(join(path, name)), { recursive: true });
    await writeFile(join(path, name), content);
  }
  return {
    path,
    load: (environment = {}) =>
      loadConfig({ file: join(path, "config.toml"), stateDirectory: "/var/lib/latebind", ...environment }),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true }),
  };
}

/** The lines a person reads, with file names as seen from the folder. */
export async function problemsOf(
  files: string | Readonly<Record<string, string | Uint8Array>>,
): Promise<readonly string[]> {
  await using folder = await configFolder(files);
  const loaded = await folder.load();
  if (loaded.status === "valid") return [];
  return loaded.problems.map((problem) => formatProblem(problem).replaceAll(`${folder.path}/`, ""));
}
