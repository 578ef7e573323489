import { Command } from "commander";
import { createAdminClient, type AdminClient } from "./admin-client.ts";
import { addCloudCommands } from "./admin-cloud-commands.ts";
import { addDeviceCommands } from "./admin-device-commands.ts";
import { addEnrollmentCommands } from "./admin-enrollment-commands.ts";
import { findAdminUrl } from "./admin-place.ts";

const program = new Command("npm run --silent cloud:admin --")
  .usage("[options] <command>")
  .description("Operates a running cloud (npm run cloud) over its admin API.")
  .option("--url <url>", "its admin API; left out: $LATEBIND_CLOUD, or else the only one running here")
  .addHelpText(
    "after",
    "\nWhere JSON is wanted, @file reads it from a file (.toml too) and - from standard input.",
  );

/** Only now: help needs no cloud. */
const connect = async (): Promise<AdminClient> => {
  const { url } = program.opts<{ readonly url?: string }>();
  return createAdminClient(url ?? process.env["LATEBIND_CLOUD"] ?? (await findAdminUrl()));
};
addCloudCommands(program, connect);
addEnrollmentCommands(program, connect);
addDeviceCommands(program, connect);

process.stdout.on("error", () => process.exit());
try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
