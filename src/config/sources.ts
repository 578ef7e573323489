import { resolve } from "node:path";
import type { ConfigSources } from "./load.ts";

export const defaultConfigFile = "/etc/latebind/config.toml";

/**
 * Where to read the configuration of this process: systemd names its directories in `$CREDENTIALS_DIRECTORY` and
 * `$STATE_DIRECTORY` (systemd.exec(5)); the latter may be a list with colons, of which the first is ours.
 */
export function configSources(
  file: string,
  env: Readonly<Record<string, string | undefined>>,
): ConfigSources {
  const credentialsDirectory = env["CREDENTIALS_DIRECTORY"];
  const [stateDirectory] = (env["STATE_DIRECTORY"] ?? "").split(":");
  return {
    file: resolve(file),
    ...(credentialsDirectory !== undefined && { credentialsDirectory }),
    stateDirectory:
      stateDirectory === undefined || stateDirectory === "" ? "/var/lib/latebind" : stateDirectory,
  };
}
