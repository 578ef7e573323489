import { AgentError } from "../../platform/failure.ts";
import { readPrivateFile } from "../../platform/private-file.ts";
import { Secret } from "../../platform/secret.ts";
import type { FileLocation } from "../read-key-file.ts";

export interface Pin {
  readonly value: Secret<string>;
  /** Path of the file, for a person. */
  readonly source: string;
}

/**
 * Reads the PIN of a token: the first file that exists, one line, readable by its owner only.
 * @throws AgentError `identity/pin-file-missing`, `identity/pin-file-unusable` (operator).
 */
export async function readPin(locations: readonly FileLocation[]): Promise<Pin> {
  for (const { path, isCredential } of locations) {
    const file = await readPrivateFile(path, isCredential);
    switch (file.status) {
      case "missing":
        continue;
      case "read":
        return { value: onlyLine(file.content, path), source: path };
      case "too-open":
        throw unusable(path, `others can read it. Run: chmod 0600 ${path}, and change the PIN`);
      case "foreign-owner":
        throw unusable(path, `it belongs to user ${file.uid}. Run: chown latebind ${path}`);
      case "not-a-file":
        throw unusable(path, "it is not a plain file");
      case "unreadable":
        throw unusable(path, `reading it fails (${file.systemCode}). Run: chown latebind ${path}`);
    }
  }
  const paths = locations.map(({ path }) => path);
  throw new AgentError(
    "identity/pin-file-missing",
    "operator",
    `no PIN: ${paths.join(" and ")} ${paths.length > 1 ? "do" : "does"} not exist. ` +
      `Put the PIN of the token into ${paths.at(-1)} with mode 0600`,
  );
}

/** A second line would be sent as part of the PIN and cost a try. */
function onlyLine(content: Buffer, path: string): Secret<string> {
  const text = content.toString("utf8").replace(/\r?\n$/, "");
  content.fill(0);
  if (text === "") throw unusable(path, "it is empty. Put the PIN of the token there");
  // oxlint-disable-next-line no-control-regex -- exactly those are meant
  if (/[\u0000-\u001F\u007F]/.test(text)) throw unusable(path, "it has more than one line of text");
  return new Secret(text);
}

function unusable(path: string, because: string): AgentError {
  return new AgentError(
    "identity/pin-file-unusable",
    "operator",
    `the PIN file ${path} cannot be used: ${because}`,
  );
}
