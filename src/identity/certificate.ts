import { X509Certificate } from "node:crypto";
import { AgentError } from "../platform/failure.ts";
import type { CertificateSource } from "./certificate-file.ts";

/** A device's certificate and what was beside it, in the order of the file. */
export interface CertificateChain {
  readonly leaf: X509Certificate;
  readonly others: readonly X509Certificate[];
  /** As `CertificateSource`. */
  readonly where: string;
}

/**
 * Reads certificates: any number in PEM, other blocks are read over, or a single one in DER.
 * @throws AgentError `identity/certificate-malformed` (operator).
 */
export function parseCertificates({ content, where }: CertificateSource): CertificateChain {
  const [leaf, ...others] = blocksOf(content).map((block, index) => parse(block, index + 1, where));
  if (leaf === undefined) throw malformed(`${where} holds no certificate in PEM`);
  return { leaf, others, where };
}

/** The chain as TLS sends it: PEM, the leaf first. */
export function chainPem({ leaf, others }: CertificateChain): string {
  return [leaf, ...others].map(String).join("");
}

/** Names the credential: changes with the device's certificate, and not with what stands above it. */
export function certificateDigest({ leaf }: CertificateChain): string {
  return leaf.fingerprint256.replaceAll(":", "").toLowerCase();
}

/** When the first certificate of the chain ends, milliseconds since 1970: from then on the whole is worth nothing. */
export function chainExpiresAtMs({ leaf, others }: CertificateChain): number {
  return Math.min(...[leaf, ...others].map(({ validToDate }) => validToDate.getTime()));
}

/** The common name of the subject; undefined where there is none, or more than one. */
export function commonNameOf(certificate: X509Certificate): string | undefined {
  const name: unknown = certificate.toLegacyObject().subject?.CN;
  return typeof name === "string" ? name : undefined;
}

/** RFC 7468 section 5: text around the blocks is allowed, and openssl writes some. */
function blocksOf(content: Buffer): readonly (string | Buffer)[] {
  // DER begins with a SEQUENCE whose length takes more than one byte.
  if (content[0] === 0x30 && ((content[1] ?? 0) & 0x80) !== 0) return [content];
  const pem = content.toString("latin1");
  return pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
}

function parse(block: string | Buffer, position: number, where: string): X509Certificate {
  try {
    return new X509Certificate(block);
  } catch (cause) {
    throw malformed(`certificate ${position} in ${where} is damaged`, cause);
  }
}

function malformed(what: string, cause?: unknown): AgentError {
  return new AgentError(
    "identity/certificate-malformed",
    "operator",
    `${what}. Expected -----BEGIN CERTIFICATE----- blocks, the device's own first, then the intermediates`,
    { cause },
  );
}
