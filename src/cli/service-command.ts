import { defaultConfigFile } from "../config/sources.ts";

/**
 * The command line of the systemd service, `run` or `run --config FILE`, read without the parser of all the others, which
 * takes some 4 ms to load and describe.
 * @param args without the program's own name.
 * @returns the configuration file, or undefined where the line is another one or has a mistake in it: both are for `runProgram`.
 */
export function serviceConfigFile(args: readonly string[]): string | undefined {
  const [command, option, file] = args;
  if (command !== "run") return undefined;
  if (args.length === 1) return defaultConfigFile;
  return args.length === 3 && option === "--config" ? file : undefined;
}
