// The certificate library resolves its parts through reflection metadata and refuses to load without this.
import "reflect-metadata";
import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  X509CertificateGenerator,
  type X509Certificate,
} from "@peculiar/x509";
import { randomBytes, type webcrypto } from "node:crypto";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const dayMs = 86_400_000;

export interface Validity {
  /** Days from now; a year ago and in a year where left out. */
  readonly fromDays?: number;
  readonly toDays?: number;
}

/** What a device holds: its certificate alone, with the chain above it, and its key. */
export interface TestCredential {
  readonly certPem: string;
  /** The leaf and the intermediates, without the root. */
  readonly chainPem: string;
  readonly keyPem: string;
}

/** A CA of a manufacturer, made for one test. */
export interface TestAuthority {
  readonly certPem: string;
  /** A CA below this one. */
  intermediate(commonName: string, validity?: Validity): Promise<TestAuthority>;
  /** A device that issues certificates, though it is no CA. */
  rogue(commonName: string): Promise<TestAuthority>;
  leaf(commonName: string, validity?: Validity): Promise<TestCredential>;
}

interface Holder {
  readonly certificate: X509Certificate;
  readonly privateKey: webcrypto.CryptoKey;
  /** From this CA up to below the root, in PEM. */
  readonly chainPem: string;
}

export async function createRoot(commonName: string, validity: Validity = {}): Promise<TestAuthority> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=${commonName}`,
    ...dates(validity),
    signingAlgorithm: algorithm,
    keys,
    extensions: authorityExtensions(),
  });
  return authority({ certificate, privateKey: keys.privateKey, chainPem: "" });
}

/** A certificate that its own key has signed. */
export async function createSelfSigned(commonName: string, validity: Validity = {}): Promise<TestCredential> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=${commonName}`,
    ...dates(validity),
    signingAlgorithm: algorithm,
    keys,
    extensions: [new BasicConstraintsExtension(false, undefined, true)],
  });
  const certPem = pemOf(certificate);
  return { certPem, chainPem: certPem, keyPem: await exportKey(keys.privateKey) };
}

function authority(holder: Holder): TestAuthority {
  const issue = async (commonName: string, validity: Validity, isCa: boolean): Promise<Holder> => {
    const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
    const certificate = await X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject: `CN=${commonName}`,
      issuer: holder.certificate.subject,
      ...dates(validity),
      signingAlgorithm: algorithm,
      publicKey: keys.publicKey,
      signingKey: holder.privateKey,
      extensions: isCa ? authorityExtensions() : [new BasicConstraintsExtension(false, undefined, true)],
    });
    return { certificate, privateKey: keys.privateKey, chainPem: pemOf(certificate) + holder.chainPem };
  };
  return {
    certPem: pemOf(holder.certificate),
    intermediate: async (commonName, validity = {}) => authority(await issue(commonName, validity, true)),
    rogue: async (commonName) => authority(await issue(commonName, {}, false)),
    async leaf(commonName, validity = {}) {
      const { certificate, privateKey, chainPem } = await issue(commonName, validity, false);
      return { certPem: pemOf(certificate), chainPem, keyPem: await exportKey(privateKey) };
    },
  };
}

function authorityExtensions(): (BasicConstraintsExtension | KeyUsagesExtension)[] {
  return [
    new BasicConstraintsExtension(true, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
  ];
}

function dates({ fromDays = -365, toDays = 365 }: Validity): {
  readonly notBefore: Date;
  readonly notAfter: Date;
} {
  const now = Date.now();
  return { notBefore: new Date(now + fromDays * dayMs), notAfter: new Date(now + toDays * dayMs) };
}

function pemOf(certificate: X509Certificate): string {
  return `${certificate.toString("pem")}\n`;
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey("pkcs8", key)).toString("base64");
  return `-----BEGIN PRIVATE KEY-----\n${pkcs8.replaceAll(/.{64}/g, "$&\n")}\n-----END PRIVATE KEY-----\n`;
}

function serialNumber(): string {
  return `40${randomBytes(8).toString("hex")}`;
}
