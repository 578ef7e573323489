import { AgentError, systemCode } from "../platform/failure.ts";
import { readIfPresent } from "../platform/files.ts";
import type { FileLocation } from "./read-key-file.ts";

/** The bytes of a certificate chain and where they were, in words for a person. */
export interface CertificateSource {
  /** PEM, or one certificate in DER. */
  readonly content: Buffer;
  readonly where: string;
}

/**
 * Reads the first certificate file that exists. It is no secret, so its mode does not matter.
 * @throws AgentError, all `operator`: `identity/certificate-missing`, `identity/certificate-unreadable`.
 */
export async function readCertificateFile(locations: readonly FileLocation[]): Promise<CertificateSource> {
  for (const { path } of locations) {
    const content = await read(path);
    if (content !== undefined) return { content, where: path };
  }
  const paths = locations.map(({ path }) => path);
  throw new AgentError(
    "identity/certificate-missing",
    "operator",
    `no certificate: ${paths.join(" and ")} ${paths.length > 1 ? "do" : "does"} not exist. ` +
      `Put the device's certificate and its intermediates into ${paths.at(-1)}, the device's first`,
  );
}

async function read(path: string): Promise<Buffer | undefined> {
  try {
    return await readIfPresent(path);
  } catch (error) {
    if (systemCode(error) === "") throw error;
    throw new AgentError(
      "identity/certificate-unreadable",
      "operator",
      `${path} cannot be read (${systemCode(error)}). Let the service user read it: chmod a+r ${path}`,
      { cause: error },
    );
  }
}
