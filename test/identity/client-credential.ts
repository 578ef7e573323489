// The certificate library resolves its parts through reflection metadata and refuses to load without this.
import "reflect-metadata";
import { X509CertificateGenerator } from "@peculiar/x509";
import { KeyObject } from "node:crypto";

const rsa = (modulusLength: number) => ({
  name: "RSASSA-PKCS1-v1_5",
  hash: "SHA-256",
  modulusLength,
  publicExponent: Uint8Array.of(1, 0, 1),
});
const ec = (namedCurve: string, hash = "SHA-256") => ({ name: "ECDSA", namedCurve, hash });

const algorithms = {
  "RSA-2048": rsa(2048),
  "RSA-3072": rsa(3072),
  "RSA-4096": rsa(4096),
  "P-256": ec("P-256"),
  "P-384": ec("P-384", "SHA-384"),
  "P-521": ec("P-521", "SHA-512"),
};

export type KeyKind = keyof typeof algorithms;

export interface ClientCredential {
  readonly commonName: string;
  readonly certPem: string;
  readonly privateKey: KeyObject;
  /** SubjectPublicKeyInfo in DER. */
  readonly publicKey: Buffer;
}

/** A key and a certificate that it signed itself, valid for a day, with the kind of key as its common name. */
export async function createClientCredential(kind: KeyKind): Promise<ClientCredential> {
  const signingAlgorithm = algorithms[kind];
  const keys = await crypto.subtle.generateKey(signingAlgorithm, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: `CN=${kind}`,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 24 * 60 * 60 * 1000),
    signingAlgorithm,
    keys,
  });
  return {
    commonName: kind,
    certPem: certificate.toString("pem"),
    privateKey: KeyObject.from(keys.privateKey),
    publicKey: KeyObject.from(keys.publicKey).export({ type: "spki", format: "der" }),
  };
}
