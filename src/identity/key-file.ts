import { createHmac } from "node:crypto";
import { AgentError } from "../platform/failure.ts";
import type { Secret } from "../platform/secret.ts";
import { parseBase64Key } from "./base64-key.ts";
import type { OpenHmacKey } from "./identity.ts";
import { readKeyFile, type FileLocation } from "./read-key-file.ts";

/**
 * Opens a symmetric device key: one line of base64, 16 to 64 bytes, readable by its owner only.
 *
 * The key is read anew at each step, so a mended file heals the agent without a restart.
 * @throws AgentError as `readKeyFile`; `identity/key-malformed` and `identity/certificate-not-set` (operator).
 */
export async function openKeyFile(locations: readonly FileLocation[]): Promise<OpenHmacKey> {
  const { path, content } = await readKeyFile(
    locations,
    "the device key (base64, from the DPS enrollment or `latebind derive-key`)",
  );
  const isPem = content.includes("-----BEGIN ");
  const parsed = parseBase64Key(content.toString("utf8"));
  content.fill(0);
  if (isPem) {
    throw new AgentError(
      "identity/certificate-not-set",
      "operator",
      `${path} is a PEM file, but no certificate is configured. For X.509 add to the configuration: certificate = "file:device.pem"`,
    );
  }
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
    warnings: [],
  };
}

function hmac(key: Secret<Buffer>, data: Uint8Array): Buffer {
  return createHmac("sha256", key.reveal()).update(data).digest();
}
