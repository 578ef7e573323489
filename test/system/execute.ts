import { execFile } from "node:child_process";

export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program of this machine to its end, whatever that is. @throws Error when it cannot be started or is killed. */
export async function execute(file: string, args: readonly string[]): Promise<CommandResult> {
  const { promise, resolve, reject } = Promise.withResolvers<CommandResult>();
  execFile(file, args, { maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
    const code = error === null ? 0 : error.code;
    if (typeof code === "number") resolve({ exitCode: code, stdout, stderr });
    else reject(new Error(`${file} ${args.join(" ")}: ${stderr}`, { cause: error }));
  });
  return promise;
}
