import { randomBytes, X509Certificate } from "node:crypto";
import { CloudError } from "./cloud-error.ts";

export interface CaCertificateInfo {
  readonly name: string;
  readonly subject: string;
  readonly sha256Thumbprint: string;
  readonly isVerified: boolean;
}

interface Entry {
  readonly certificate: X509Certificate;
  isVerified: boolean;
  verificationCode?: string;
}

/**
 * CA certificates that an operator has uploaded. One counts only after somebody has shown possession of its key: by a
 * certificate issued under it whose CN is the verification code.
 */
export class CaCertificates {
  readonly #entries = new Map<string, Entry>();

  list(): readonly CaCertificateInfo[] {
    return [...this.#entries.keys()].map((name) => this.get(name));
  }

  get(name: string): CaCertificateInfo {
    const { certificate, isVerified } = this.#find(name);
    const sha256Thumbprint = sha256ThumbprintOf(certificate);
    return { name, subject: distinguishedName(certificate.subject), sha256Thumbprint, isVerified };
  }

  /** The certificate itself, once verified. */
  verified(name: string): X509Certificate | undefined {
    const entry = this.#entries.get(name);
    return entry?.isVerified === true ? entry.certificate : undefined;
  }

  /** Creates or replaces. `isVerified`: the operator vouches for it, as the portal offers. @throws CloudError 400 */
  put(name: string, pem: string, isVerified = false): CaCertificateInfo {
    if (!/^[A-Za-z0-9\-._]{1,64}$/.test(name)) {
      throw new CloudError(400, "a CA certificate's name is 1 to 64 of A-Z a-z 0-9 - . _");
    }
    const certificate = parseCertificate(pem);
    if (!certificate.ca) throw new CloudError(400, "certificate: not that of a CA");
    this.#entries.set(name, { certificate, isVerified });
    return this.get(name);
  }

  delete(name: string): void {
    this.#find(name);
    this.#entries.delete(name);
  }

  /** A new code each time; the one before is void. */
  createVerificationCode(name: string): string {
    const entry = this.#find(name);
    entry.verificationCode = randomBytes(24).toString("hex").toUpperCase();
    return entry.verificationCode;
  }

  /** @throws CloudError 400 when the certificate does not prove possession of the CA's key now. */
  verify(name: string, proofPem: string, nowMs: number): CaCertificateInfo {
    const entry = this.#find(name);
    if (entry.verificationCode === undefined) throw new CloudError(400, "ask for a verification code first");
    const proof = parseCertificate(proofPem);
    if (commonNameOf(proof) !== entry.verificationCode) {
      throw new CloudError(400, "certificate: its CN is not the verification code");
    }
    if (!isIssuedBy(proof, entry.certificate))
      throw new CloudError(400, "certificate: not issued by this CA");
    if (!isValidAt(proof, nowMs)) throw new CloudError(400, "certificate: not valid now");
    entry.isVerified = true;
    delete entry.verificationCode;
    return this.get(name);
  }

  #find(name: string): Entry {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw new CloudError(404, `there is no CA certificate ${name}`);
    return entry;
  }
}

export function parseCertificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw new CloudError(400, "certificate: not a certificate in PEM");
  }
}

/** By name and by signature: anybody can make a CA with the same name. */
export function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

export function isValidAt({ validFromDate, validToDate }: X509Certificate, nowMs: number): boolean {
  return validFromDate.getTime() <= nowMs && nowMs < validToDate.getTime();
}

/** @returns undefined when there is none, or more than one. */
export function commonNameOf({ subject }: X509Certificate): string | undefined {
  const names = (subject ?? "").split("\n").filter((part) => part.startsWith("CN="));
  return names.length === 1 ? names[0]?.slice(3) : undefined;
}

/** Upper-case hexadecimal without colons. */
export function sha256ThumbprintOf({ fingerprint256 }: X509Certificate): string {
  return fingerprint256.replaceAll(":", "");
}

/** One line, most specific part last as it stands in the certificate. */
export function distinguishedName(lines: string): string {
  return lines.split("\n").join(", ");
}
