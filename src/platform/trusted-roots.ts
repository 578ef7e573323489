import { readFileSync } from "node:fs";
import { AgentError, systemCode } from "./failure.ts";

/**
 * Reads the PEM file with the roots to trust.
 * @throws AgentError `platform/trust-bundle` (operator) when it cannot be read or holds no certificate.
 */
export async function readTrustedRoots(path: string): Promise<string> {
  let content: string;
  try {
    content = readFileSync(path, "utf8");
  } catch (error) {
    throw new AgentError(
      "platform/trust-bundle",
      "operator",
      `the trust bundle ${path} cannot be read (${systemCode(error)}). Install ca-certificates, or mend [tls] trust_bundle`,
      { cause: error },
    );
  }
  if (content.includes("-----BEGIN CERTIFICATE-----")) return content;
  throw new AgentError(
    "platform/trust-bundle",
    "operator",
    `the trust bundle ${path} holds no PEM certificate. Mend [tls] trust_bundle`,
  );
}
