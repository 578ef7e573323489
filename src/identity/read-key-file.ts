import { AgentError } from "../platform/failure.ts";
import { readPrivateFile, type PrivateFile } from "../platform/private-file.ts";

/** Where a `file:` key or certificate may lie: the first that exists wins. */
export interface FileLocation {
  readonly path: string;
  /** True inside systemd's credentials directory. */
  readonly isCredential: boolean;
}

/**
 * Reads the first key file that exists, if nobody but its owner can.
 * @param advice what to put there, for the error when there is none.
 * @throws AgentError, all `operator`: `identity/key-file-missing`, `identity/key-file-too-open`,
 *   `identity/key-file-owner`, `identity/key-file-unreadable`, `identity/key-malformed`.
 */
export async function readKeyFile(
  locations: readonly FileLocation[],
  advice: string,
): Promise<{ readonly path: string; readonly content: Buffer }> {
  for (const { path, isCredential } of locations) {
    const file = await readPrivateFile(path, isCredential);
    if (file.status === "missing") continue;
    if (file.status !== "read") throw refusal(path, file);
    return { path, content: file.content };
  }
  const paths = locations.map(({ path }) => path);
  throw new AgentError(
    "identity/key-file-missing",
    "operator",
    `no device key: ${paths.join(" and ")} ${paths.length > 1 ? "do" : "does"} not exist. ` +
      `Put ${advice} into ${paths.at(-1)} with mode 0600`,
  );
}

function refusal(path: string, file: Exclude<PrivateFile, { status: "read" | "missing" }>): AgentError {
  switch (file.status) {
    case "too-open":
      return new AgentError(
        "identity/key-file-too-open",
        "operator",
        `${path} has mode ${octal(file.mode)}: others can read the device key. Run: chmod 0600 ${path}`,
      );
    case "foreign-owner":
      return new AgentError(
        "identity/key-file-owner",
        "operator",
        `${path} belongs to user ${file.uid}; only the service user or root may own the device key. Run: chown latebind ${path}`,
      );
    case "not-a-file":
      return new AgentError(
        "identity/key-malformed",
        "operator",
        `${path} is not a key file: expected one line of base64, or a private key in PEM`,
      );
    case "unreadable":
      return new AgentError(
        "identity/key-file-unreadable",
        "operator",
        `${path} cannot be read (${file.systemCode}). Let the service user own it: chown latebind ${path}`,
      );
  }
}

function octal(mode: number): string {
  return `0${mode.toString(8)}`;
}
