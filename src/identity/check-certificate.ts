import { createPublicKey, type KeyObject, type X509Certificate } from "node:crypto";
import { AgentError } from "../platform/failure.ts";
import { chainExpiresAtMs, commonNameOf, type CertificateChain } from "./certificate.ts";

interface Facts {
  /** What the private key says: SubjectPublicKeyInfo in DER. */
  readonly publicKey: Uint8Array;
  /** As configured; DPS compares it with the common name without regard to case. */
  readonly registrationId?: string;
  /** Wall clock, milliseconds since 1970. */
  readonly nowMs: number;
}

interface Problem {
  readonly code: string;
  readonly says: string;
}

/**
 * Looks for everything that a service would refuse later and with fewer words.
 *
 * Whether an authority above the last certificate is enrolled only DPS knows, so a leaf alone is no fault.
 * @throws AgentError (operator) that tells every problem, with the code of the first: `identity/certificate-key-mismatch`,
 *   `identity/certificate-key-unsupported`, `identity/certificate-name`, `identity/certificate-expired`,
 *   `identity/certificate-not-yet-valid`, `identity/certificate-order`, `identity/certificate-chain-gap`.
 * @see https://learn.microsoft.com/azure/iot-dps/concepts-x509-attestation
 */
export function checkCertificate(chain: CertificateChain, facts: Facts): void {
  const problems = [
    ...keyProblems(chain, facts),
    ...nameProblems(chain, facts),
    ...validityProblems(chain, facts),
    ...orderProblems(chain),
  ];
  const [first] = problems;
  if (first === undefined) return;
  const says = problems.map((problem) => problem.says).join("; ");
  throw new AgentError(first.code, "operator", `the certificate in ${chain.where} cannot be used: ${says}`);
}

/** What is worth a person's attention though it works today. */
export function certificateWarnings(chain: CertificateChain, nowMs: number): readonly string[] {
  const warnings: string[] = [];
  const expiresAtMs = chainExpiresAtMs(chain);
  if (expiresAtMs - nowMs < expiresSoonMs) {
    warnings.push(`the certificate in ${chain.where} expires on ${day(new Date(expiresAtMs))}: renew it`);
  }
  // RFC 5280 section 4.2.1.12: without the extension, every use is allowed.
  const uses: readonly string[] | undefined = chain.leaf.keyUsage;
  if (uses !== undefined && !uses.includes(clientAuthentication)) {
    warnings.push(`the certificate in ${chain.where} is not made for TLS client authentication (clientAuth)`);
  }
  return warnings;
}

/** Long enough for a person to hear of it, to have another one made and to bring it to the device. */
const expiresSoonMs = 30 * 24 * 60 * 60_000;

/** RFC 5280 section 4.2.1.12: id-kp-clientAuth. */
const clientAuthentication = "1.3.6.1.5.5.7.3.2";

function keyProblems({ leaf, others }: CertificateChain, { publicKey }: Facts): readonly Problem[] {
  const key = createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
  const problems: Problem[] = [];
  const kind = unsupportedKind(key);
  if (kind !== undefined) {
    const says = `its key is ${kind}, which Azure does not take. Expected RSA of 2048 bits or more, P-256 or P-384`;
    problems.push({ code: "identity/certificate-key-unsupported", says });
  }
  if (leaf.publicKey.equals(key)) return problems;
  const position = others.findIndex((certificate) => certificate.publicKey.equals(key));
  if (position >= 0) {
    const says = `the private key fits certificate ${position + 2}, so that one has to stand first`;
    problems.push({ code: "identity/certificate-order", says });
  } else {
    const says = `the private key is not the one of ${nameOf(leaf)}. Put the key and the certificate there that were made together`;
    problems.push({ code: "identity/certificate-key-mismatch", says });
  }
  return problems;
}

/** @returns undefined for a key that is taken. */
function unsupportedKind({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string | undefined {
  const { modulusLength = 0, namedCurve = "an unnamed curve" } = asymmetricKeyDetails ?? {};
  if (asymmetricKeyType === "rsa") return modulusLength >= 2048 ? undefined : `RSA of ${modulusLength} bits`;
  if (asymmetricKeyType === "ec") return curves.has(namedCurve) ? undefined : `EC on ${namedCurve}`;
  return `of the type ${asymmetricKeyType ?? "unknown"}`;
}

/** P-256 and P-384, as OpenSSL calls them. */
const curves = new Set(["prime256v1", "secp384r1"]);

function nameProblems({ leaf }: CertificateChain, { registrationId }: Facts): readonly Problem[] {
  const commonName = commonNameOf(leaf);
  const code = "identity/certificate-name";
  if (commonName === undefined) {
    return [
      { code, says: "its subject has not exactly one common name, which has to be the registration ID" },
    ];
  }
  if (registrationId === undefined || registrationId.toLowerCase() === commonName.toLowerCase()) return [];
  const says =
    `its common name is "${commonName}", but registration_id is "${registrationId}". ` +
    "Take registration_id out of the configuration, or have a certificate made for it";
  return [{ code, says }];
}

function validityProblems({ leaf, others }: CertificateChain, { nowMs }: Facts): readonly Problem[] {
  const now = day(new Date(nowMs));
  return [leaf, ...others].flatMap((certificate): readonly Problem[] => {
    const { validFromDate, validToDate } = certificate;
    if (nowMs >= validToDate.getTime()) {
      const says = `${nameOf(certificate)} expired on ${day(validToDate)}, and the clock says ${now}. Renew it, or set the clock`;
      return [{ code: "identity/certificate-expired", says }];
    }
    if (nowMs < validFromDate.getTime()) {
      const says = `${nameOf(certificate)} holds only from ${day(validFromDate)}, and the clock says ${now}. Set the clock first`;
      return [{ code: "identity/certificate-not-yet-valid", says }];
    }
    return [];
  });
}

/** RFC 8446 section 4.4.2: each certificate certifies the one before it. */
function orderProblems({ leaf, others }: CertificateChain): readonly Problem[] {
  const chain = [leaf, ...others];
  return others.flatMap((next, index): readonly Problem[] => {
    const certificate = chain[index];
    if (certificate === undefined || isIssuedBy(certificate, next)) return [];
    const issuer = chain.findIndex((other) => other !== certificate && isIssuedBy(certificate, other));
    if (issuer >= 0) {
      const says = `certificate ${issuer + 1} issued certificate ${index + 1} and has to follow it`;
      return [{ code: "identity/certificate-order", says }];
    }
    const says =
      `the intermediate "${oneLine(certificate.issuer)}", which issued ${nameOf(certificate)}, is missing ` +
      `between certificates ${index + 1} and ${index + 2}`;
    return [{ code: "identity/certificate-chain-gap", says }];
  });
}

/** By name and by signature: anybody can make an authority with the same name. */
function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function nameOf(certificate: X509Certificate): string {
  return `"${oneLine(certificate.subject)}"`;
}

/** Node puts each part on a line of its own. */
function oneLine(name: string): string {
  return name.split("\n").join(", ");
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10);
}
