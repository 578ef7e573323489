import { join } from "node:path";

/** Where packages put it. */
export const usualControlPath = "/run/latebind/control.sock";

/** Where a running agent makes its socket: in the directory that systemd made for it; undefined where it made none. */
export function controlPath(env: Readonly<Record<string, string | undefined>>): string | undefined {
  // A list where the unit names several.
  const [directory = ""] = (env["RUNTIME_DIRECTORY"] ?? "").split(":");
  return directory === "" ? undefined : join(directory, "control.sock");
}
