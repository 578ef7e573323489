import { createHmac } from "node:crypto";
import { AgentError } from "../platform/failure.ts";
import { readPrivateFile, type PrivateFile } from "../platform/private-file.ts";
import type { Secret } from "../platform/secret.ts";
import { parseBase64Key } from "./base64-key.ts";
import type { Key } from "./identity.ts";

/** Where a `file:` key may lie: the first that exists wins. */
export interface KeyFileLocation {
  readonly path: string;
  /** True inside systemd's credentials directory. */
  readonly isCredential: boolean;
}

export interface OpenKeyFile {
  readonly key: Key;
  readonly credentialDigest: string;
  readonly custody: string;
}

/**
 * Opens a symmetric device key: one line of base64, 16 to 64 bytes, readable by its owner only.
 *
 * The key is read anew at each step, so a mended file heals the agent without a restart.
 * @throws AgentError, all `operator`: `identity/key-file-missing`, `identity/key-file-too-open`,
 *   `identity/key-file-owner`, `identity/key-file-unreadable`, `identity/key-malformed`.
 */
export async function openKeyFile(locations: readonly KeyFileLocation[]): Promise<OpenKeyFile> {
  for (const location of locations) {
    const file = await readPrivateFile(location.path, location.isCredential);
    if (file.status === "missing") continue;
    if (file.status !== "read") throw refusal(location.path, file);
    return openKey(location.path, file.content);
  }
  const paths = locations.map((location) => location.path);
  throw new AgentError(
    "identity/key-file-missing",
    "operator",
    `no device key: ${paths.join(" and ")} ${paths.length > 1 ? "do" : "does"} not exist. ` +
      `Put the device key (base64, from the DPS enrollment or \`latebind derive-key\`) into ${paths.at(-1)} with mode 0600`,
  );
}

function openKey(path: string, content: Buffer): OpenKeyFile {
  const parsed = parseBase64Key(content.toString("utf8"));
  content.fill(0);
  if ("problem" in parsed) {
    throw new AgentError(
      "identity/key-malformed",
      "operator",
      `the device key in ${path} cannot be used: ${parsed.problem}. Expected the key as the portal shows it, on one line`,
    );
  }
  return {
    key: { hmac: async (data) => hmac(parsed.key, data) },
    // A keyed digest, so that the stored fingerprint says nothing about a short key.
    credentialDigest: hmac(parsed.key, Buffer.from("latebind credential digest")).toString("hex"),
    custody: `file ${path}`,
  };
}

function hmac(key: Secret<Buffer>, data: Uint8Array): Buffer {
  return createHmac("sha256", key.reveal()).update(data).digest();
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
        `${path} is not a key file: expected one line of base64`,
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
