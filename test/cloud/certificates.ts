// The certificate library resolves its parts through reflection metadata and refuses to load without this.
import "reflect-metadata";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  type X509Certificate,
} from "@peculiar/x509";
import { randomBytes, type webcrypto } from "node:crypto";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const dayMs = 24 * 60 * 60 * 1000;

export interface ServerCredentials {
  readonly certPem: string;
  readonly keyPem: string;
}

export interface CertificateAuthority {
  readonly caPem: string;
  /** A server certificate for one address and its names; left out, it is valid from yesterday for a year. */
  issueServer(
    ipAddress: string,
    dnsNames: readonly string[],
    notBefore?: Date,
    notAfter?: Date,
  ): Promise<ServerCredentials>;
}

/** Makes a CA that exists only in memory: EC P-256, ten years, so that a simulated clock stays inside. */
export async function createAuthority(commonName: string): Promise<CertificateAuthority> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const ca = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=${commonName}`,
    ...validity(3650),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 1, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  });
  return {
    caPem: `${ca.toString("pem")}\n`,
    issueServer: async (ipAddress, dnsNames, notBefore, notAfter) => {
      const usual = validity(365);
      const period = { notBefore: notBefore ?? usual.notBefore, notAfter: notAfter ?? usual.notAfter };
      return issue(ca, keys.privateKey, ipAddress, dnsNames, period);
    },
  };
}

async function issue(
  ca: X509Certificate,
  signingKey: webcrypto.CryptoKey,
  ipAddress: string,
  dnsNames: readonly string[],
  period: ReturnType<typeof validity>,
): Promise<ServerCredentials> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const leaf = await X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: `CN=${dnsNames[0] ?? ipAddress}`,
    issuer: ca.subject,
    ...period,
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension([
        { type: "ip", value: ipAddress },
        ...dnsNames.map((value) => ({ type: "dns" as const, value })),
      ]),
    ],
  });
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  const keyPem = `-----BEGIN PRIVATE KEY-----\n${pkcs8.replaceAll(/.{64}/g, "$&\n")}\n-----END PRIVATE KEY-----\n`;
  return { certPem: `${leaf.toString("pem")}\n`, keyPem };
}

function validity(days: number): { readonly notBefore: Date; readonly notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - dayMs), notAfter: new Date(now + days * dayMs) };
}

/** Positive and without a leading zero octet (RFC 5280 4.1.2.2). */
function serialNumber(): string {
  return `40${randomBytes(8).toString("hex")}`;
}
