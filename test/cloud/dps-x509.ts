import type { X509Certificate } from "node:crypto";
import {
  commonNameOf,
  distinguishedName,
  isIssuedBy,
  isValidAt,
  sha256ThumbprintOf,
} from "./ca-certificates.ts";
import type { JsonObject } from "./json.ts";

/** Leaf first; at least the leaf. */
export type Chain = readonly [X509Certificate, ...X509Certificate[]];

/** The subject must be the registration ID, which knows no case. */
export function isFor(leaf: X509Certificate, registrationId: string): boolean {
  return commonNameOf(leaf)?.toLowerCase() === registrationId.toLowerCase();
}

/**
 * Walks from the leaf upwards and stops at the first certificate that one of the authorities has issued: the nearest
 * enrollment group wins. Authorities may be in what the device sent, or just above its end.
 * @returns undefined when the chain, as far as it holds together, leads to none of them.
 */
export function findAuthority<T extends { readonly authority: X509Certificate }>(
  chain: Chain,
  candidates: readonly T[],
): { readonly candidate: T; readonly path: readonly X509Certificate[] } | undefined {
  const path: X509Certificate[] = [];
  for (const [index, certificate] of chain.entries()) {
    path.push(certificate);
    const candidate = candidates.find(({ authority }) => isIssuedBy(certificate, authority));
    if (candidate !== undefined) return { candidate, path: [...path, candidate.authority] };
    const issuer = chain[index + 1];
    if (issuer === undefined || !isIssuedBy(certificate, issuer)) return undefined;
  }
  return undefined;
}

export function areAllValid(certificates: readonly X509Certificate[], nowMs: number): boolean {
  return certificates.every((certificate) => isValidAt(certificate, nowMs));
}

/** The `x509` block of a registration's result. */
export function describeX509(leaf: X509Certificate, signer?: X509Certificate, groupId?: string): JsonObject {
  return {
    certificateInfo: describe(leaf),
    ...(groupId === undefined ? {} : { enrollmentGroupId: groupId }),
    ...(signer === undefined ? {} : { signingCertificateInfo: describe(signer) }),
  };
}

function describe(certificate: X509Certificate): JsonObject {
  return {
    subjectName: distinguishedName(certificate.subject),
    sha1Thumbprint: certificate.fingerprint.replaceAll(":", ""),
    sha256Thumbprint: sha256ThumbprintOf(certificate),
    issuerName: distinguishedName(certificate.issuer),
    notBeforeUtc: certificate.validFromDate.toISOString(),
    notAfterUtc: certificate.validToDate.toISOString(),
    serialNumber: certificate.serialNumber,
    version: 3,
  };
}
