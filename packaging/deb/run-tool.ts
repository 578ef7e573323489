import { spawnSync } from "node:child_process";

interface ToolOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Runs a program of the build and waits for it.
 * @returns what it printed.
 * @throws Error with its last words when it fails, or with the package that brings it when it is not there.
 */
export function runTool(program: string, args: readonly string[], { cwd, env }: ToolOptions = {}): string {
  const result = spawnSync(program, args, {
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, LC_ALL: "C", TZ: "UTC", ...env },
    ...(cwd !== undefined && { cwd }),
  });
  if (result.error !== undefined)
    throw new Error(`cannot run ${program}; missing Debian packages come with: .ci/ready package`, {
      cause: result.error,
    });
  if (result.status !== 0)
    throw new Error(`${program} ${args.join(" ")} failed with ${result.status}:\n${result.stderr.trim()}`);
  return result.stdout;
}
