import { loadConfig, type ConfigSources } from "../config/load.ts";
import { formatProblem } from "../config/problem.ts";
import { exitCode } from "./exit-code.ts";
import type { CliIo } from "./io.ts";

/** `latebind config check`: every problem in a line of its own on stderr, or one line on stdout that all is well. */
export async function checkConfig(sources: ConfigSources, io: CliIo): Promise<number> {
  const loaded = await loadConfig(sources);
  for (const warning of loaded.warnings) io.stderr(`warning: ${formatProblem(warning)}\n`);
  switch (loaded.status) {
    case "valid":
      io.stdout(`The configuration is valid: ${loaded.files.join(", ")}\n`);
      return exitCode.ok;
    case "invalid":
      for (const problem of loaded.problems) io.stderr(`${formatProblem(problem)}\n`);
      io.stderr(`${count(loaded.problems.length)} in the configuration: the agent will not start with it.\n`);
      return exitCode.config;
  }
}

function count(problems: number): string {
  return problems === 1 ? "1 problem" : `${problems} problems`;
}
