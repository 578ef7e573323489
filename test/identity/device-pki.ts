// The certificate library resolves its parts through reflection metadata and refuses to load without this.
import "reflect-metadata";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  X509CertificateGenerator,
  type X509Certificate,
} from "@peculiar/x509";
import { KeyObject, randomBytes, type webcrypto } from "node:crypto";

const rsa = (modulusLength: number) => ({
  name: "RSASSA-PKCS1-v1_5",
  hash: "SHA-256",
  modulusLength,
  publicExponent: Uint8Array.of(1, 0, 1),
});
const ec = (namedCurve: string) => ({ name: "ECDSA", namedCurve, hash: "SHA-256" });

const algorithms = {
  "RSA-1024": rsa(1024),
  "RSA-2048": rsa(2048),
  "RSA-3072": rsa(3072),
  "P-256": ec("P-256"),
  "P-384": ec("P-384"),
  "P-521": ec("P-521"),
};

export type KeyKind = keyof typeof algorithms;

interface Wish {
  readonly kind?: KeyKind;
  /** An X.500 name as a whole, in place of the common name alone. */
  readonly subject?: string;
  /** Days from now; a year ago and in a year where left out. */
  readonly fromDays?: number;
  readonly toDays?: number;
  /** Object identifiers of the extended key usage; the extension is left out without. */
  readonly uses?: readonly string[];
}

/** A certificate with its key, and whoever issued it. */
export interface Credential {
  readonly certPem: string;
  /** The certificate and every issuer above it but the root. */
  readonly chainPem: string;
  readonly key: KeyObject;
  /** PKCS#8. */
  readonly keyPem: string;
  /** Issues a certificate under this one: of a device, or with `isAuthority` of the next authority. */
  issue(commonName: string, wish?: Wish & { readonly isAuthority?: boolean }): Promise<Credential>;
}

const dayMs = 86_400_000;

/** A certificate that its own key has signed: a root, or a device without any authority. */
export async function selfSigned(commonName: string, wish: Wish = {}): Promise<Credential> {
  const signingAlgorithm = algorithms[wish.kind ?? "P-256"];
  const keys = await crypto.subtle.generateKey(signingAlgorithm, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    ...facts(wish, true),
    name: wish.subject ?? `CN=${commonName}`,
    signingAlgorithm,
    keys,
  });
  return credential({ certificate, keys, algorithm: signingAlgorithm, above: undefined });
}

interface Holder {
  readonly certificate: X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
  readonly algorithm: (typeof algorithms)[KeyKind];
  /** The issuer's chain; undefined where the certificate is its own issuer. */
  readonly above: string | undefined;
}

function credential({ certificate, keys, algorithm, above }: Holder): Credential {
  const certPem = `${certificate.toString("pem")}\n`;
  const key = KeyObject.from(keys.privateKey);
  return {
    certPem,
    chainPem: certPem + (above ?? ""),
    key,
    keyPem: key.export({ type: "pkcs8", format: "pem" }).toString(),
    async issue(commonName, wish = {}) {
      const own = algorithms[wish.kind ?? "P-256"];
      const ownKeys = await crypto.subtle.generateKey(own, true, ["sign", "verify"]);
      const issued = await X509CertificateGenerator.create({
        ...facts(wish, wish.isAuthority ?? false),
        subject: wish.subject ?? `CN=${commonName}`,
        issuer: certificate.subject,
        signingAlgorithm: algorithm,
        publicKey: ownKeys.publicKey,
        signingKey: keys.privateKey,
      });
      // The root is not sent: who trusts it has it.
      const issuers = above === undefined ? "" : certPem + above;
      return credential({ certificate: issued, keys: ownKeys, algorithm: own, above: issuers });
    },
  };
}

function facts({ fromDays = -365, toDays = 365, uses }: Wish, isAuthority: boolean) {
  const now = Date.now();
  return {
    // Positive and without a leading zero octet (RFC 5280 section 4.1.2.2).
    serialNumber: `40${randomBytes(8).toString("hex")}`,
    notBefore: new Date(now + fromDays * dayMs),
    notAfter: new Date(now + toDays * dayMs),
    extensions: [
      new BasicConstraintsExtension(isAuthority, undefined, true),
      ...(uses === undefined ? [] : [new ExtendedKeyUsageExtension([...uses])]),
    ],
  };
}
