import type { X509Certificate } from "node:crypto";
import { parseCertificates } from "../identity/certificate.ts";
import type { OpenIdentity } from "../identity/identity.ts";
import type { TpmDescription } from "../identity/tpm/describe-tpm.ts";

/** Who the device is, for the person who enrols it, in the order in which it is shown. Nothing in it is secret. */
export interface IdentityDescription {
  readonly registrationId: string;
  readonly attestation: "symmetric-key" | "x509" | "tpm";
  readonly key: string;
  /** With a certificate, as the next ones. */
  readonly subject?: string;
  readonly issuer?: string;
  /** Upper-case hex without colons, as the portal shows thumbprints. */
  readonly sha1Thumbprint?: string;
  readonly sha256Thumbprint?: string;
  /** RFC 3339, UTC. */
  readonly notBefore?: string;
  readonly notAfter?: string;
  /** The subjects from the device's own certificate upwards. */
  readonly chain?: readonly string[];
  /** With a TPM, as the next ones. Base64, as DPS takes them. */
  readonly endorsementKey?: string;
  readonly storageRootKey?: string;
  readonly manufacturer?: string;
  readonly firmware?: string;
  /** Who vouches for the endorsement key, and until when. */
  readonly endorsementIssuer?: string;
  /** Base64 of DER. */
  readonly endorsementCertificate?: string;
  readonly warnings: readonly string[];
}

/** A key file, a token, or a certificate. */
export function describeIdentity({ identity, credential }: OpenIdentity): IdentityDescription {
  const { registrationId, attestation, custody: key, warnings } = identity;
  const certificate = credential.attestation === "x509" ? describeChain(credential.certificate.chain) : {};
  return { registrationId, attestation, key, ...certificate, warnings };
}

/** @param registrationId as configured, where it is. */
export function describeTpmIdentity(tpm: TpmDescription, registrationId?: string): IdentityDescription {
  const { endorsementKey, storageRootKey, manufacturer, firmware, endorsementCertificate: certificate } = tpm;
  return {
    registrationId: registrationId ?? tpm.registrationId,
    attestation: "tpm",
    key: `TPM at ${tpm.place}`,
    endorsementKey,
    storageRootKey,
    manufacturer,
    firmware,
    ...(certificate !== undefined && {
      endorsementIssuer: `${oneLine(certificate.issuer)}, until ${certificate.validToDate.toISOString()}`,
      endorsementCertificate: certificate.raw.toString("base64"),
    }),
    warnings: certificate === undefined || isFor(certificate, endorsementKey) ? [] : [strange],
  };
}

const strange =
  "the maker's certificate in this TPM is for another endorsement key than the one at its handle, as with ek_template = " +
  '"azure-sdk": nobody vouches for the key that is shown here';

/** TPM2B_PUBLIC of an RSA 2048 key ends with its modulus. */
function isFor({ publicKey }: X509Certificate, endorsementKey: string): boolean {
  const modulus = Buffer.from(endorsementKey, "base64").subarray(-256);
  return publicKey.export({ format: "jwk" }).n === modulus.toString("base64url");
}

function describeChain(pem: string): Partial<IdentityDescription> {
  const { leaf, others } = parseCertificates({ content: Buffer.from(pem), where: "the chain" });
  return {
    subject: oneLine(leaf.subject),
    issuer: oneLine(leaf.issuer),
    sha1Thumbprint: leaf.fingerprint.replaceAll(":", ""),
    sha256Thumbprint: leaf.fingerprint256.replaceAll(":", ""),
    notBefore: leaf.validFromDate.toISOString(),
    notAfter: leaf.validToDate.toISOString(),
    chain: [leaf, ...others].map(({ subject }) => oneLine(subject)),
  };
}

/** Node puts each part of a name on a line of its own. */
function oneLine(name: string): string {
  return name.split("\n").join(", ");
}

const titles: readonly (readonly [keyof IdentityDescription, string])[] = [
  ["registrationId", "Registration ID"],
  ["attestation", "Attestation"],
  ["key", "Key"],
  ["subject", "Certificate"],
  ["issuer", "Issued by"],
  ["sha1Thumbprint", "SHA-1"],
  ["sha256Thumbprint", "SHA-256"],
  ["notBefore", "Valid from"],
  ["notAfter", "Valid until"],
  ["chain", "Chain"],
  ["endorsementKey", "Endorsement key"],
  ["storageRootKey", "Storage root key"],
  ["manufacturer", "Manufacturer"],
  ["firmware", "Firmware"],
  ["endorsementIssuer", "Vouched for by"],
  ["endorsementCertificate", "EK certificate"],
  ["warnings", "Warning"],
];

const titleWidth = 17;

/** One line for each fact. */
export function asText(description: IdentityDescription): string {
  const lines = titles.flatMap(([name, title]) =>
    [description[name] ?? []].flat().map((value) => `${title.padEnd(titleWidth)}${value}\n`),
  );
  return lines.join("");
}

/** A header and a row, RFC 4180. The columns are always the same, so that rows of many devices make one list. */
export function asCsv(description: IdentityDescription): string {
  const row = titles.map(([name]) => quoted([description[name] ?? ""].flat().join("; ")));
  return `${titles.map(([name]) => name).join(",")}\r\n${row.join(",")}\r\n`;
}

/** RFC 4180 section 2. */
function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
