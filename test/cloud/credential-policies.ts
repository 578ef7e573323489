// The certificate library resolves its parts through reflection metadata and refuses to load without this.
import "reflect-metadata";
import { createPublicKey, randomBytes, type webcrypto } from "node:crypto";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  X509CertificateGenerator,
  type X509Certificate,
} from "@peculiar/x509";
import { CloudError } from "./cloud-error.ts";
import { decodeBase64 } from "./sas-token.ts";

const algorithm = { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" };
const minuteMs = 60 * 1000;
const dayMs = 24 * 60 * minuteMs;
const longestCsr = 8 * 1024;

/** How certificates are issued to the devices of an enrollment. */
export interface CredentialPolicy {
  readonly name: string;
  /** 7 to 90, as the service allows. */
  readonly validityDays: number;
  /** The root under which this policy issues: hubs trust it. */
  readonly rootPem: string;
}

export type Issued =
  /** Base64 of DER: the leaf, the intermediate that issued it, the root. */
  { readonly status: "issued"; readonly chain: readonly string[] } | Rejection;

interface Rejection {
  readonly status: "rejected";
  readonly credentialError: string;
  readonly because: string;
}

interface Issuer {
  readonly policy: CredentialPolicy;
  readonly root: X509Certificate;
  readonly intermediate: X509Certificate;
  readonly signingKey: webcrypto.CryptoKey;
}

/** The issuing CAs of the cloud: one root and one intermediate for each policy, EC P-384, in memory only. */
export class CredentialPolicies {
  readonly #now: () => number;
  readonly #issuers = new Map<string, Issuer>();

  constructor(now: () => number) {
    this.#now = now;
  }

  list(): readonly CredentialPolicy[] {
    return [...this.#issuers.values()].map(({ policy }) => policy);
  }

  has(name: string): boolean {
    return this.#issuers.has(name);
  }

  get(name: string): CredentialPolicy {
    return this.#find(name).policy;
  }

  /** Creates a policy, or replaces it with a new CA: what the old one issued is then refused. @throws CloudError 400 */
  async put(name: string, validityDays = 30): Promise<CredentialPolicy> {
    if (!/^[A-Za-z0-9-]{1,64}$/.test(name)) {
      throw new CloudError(400, "a policy's name is 1 to 64 of A-Z a-z 0-9 -");
    }
    if (!Number.isInteger(validityDays) || validityDays < 7 || validityDays > 90) {
      throw new CloudError(400, "validityDays is a whole number from 7 to 90");
    }
    const issuer = await createIssuer(name, validityDays, this.#now());
    this.#issuers.set(name, issuer);
    return issuer.policy;
  }

  /**
   * Certifies the key of a request, for client authentication only, from five minutes ago for the policy's days.
   *
   * @param csrBase64 PKCS#10 DER in base64 of at most 8 KiB, without armour or line breaks; its CN must be `commonName`, its
   *   key an EC key on P-384 or P-256. The documentation allows only the former, its samples use the latter.
   * @throws CloudError 404 for an unknown policy.
   */
  async issue(policyName: string, csrBase64: string, commonName: string): Promise<Issued> {
    const issuer = this.#find(policyName);
    const request = await readRequest(csrBase64, commonName);
    if ("because" in request) return request;
    const now = this.#now();
    const leaf = await X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject: `CN=${commonName}`,
      issuer: issuer.intermediate.subject,
      notBefore: new Date(now - 5 * minuteMs),
      notAfter: new Date(now + issuer.policy.validityDays * dayMs),
      signingAlgorithm: algorithm,
      publicKey: request.publicKey,
      signingKey: issuer.signingKey,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
      ],
    });
    const chain = [leaf, issuer.intermediate, issuer.root];
    return {
      status: "issued",
      chain: chain.map(({ rawData }) => Buffer.from(rawData).toString("base64")),
    };
  }

  #find(name: string): Issuer {
    const issuer = this.#issuers.get(name);
    if (issuer === undefined) throw new CloudError(404, `there is no credential policy ${name}`);
    return issuer;
  }
}

async function readRequest(
  csrBase64: string,
  commonName: string,
): Promise<Pkcs10CertificateRequest | Rejection> {
  if (csrBase64.length > longestCsr) return reject("CsrTooLong", "the CSR is longer than 8 KiB");
  const der = decodeBase64(csrBase64);
  if (der === undefined) return reject("FailedToDecodeCsr", "the CSR is not base64 of DER");
  let request: Pkcs10CertificateRequest;
  try {
    request = new Pkcs10CertificateRequest(der);
    if (!(await request.verify())) return reject("InvalidCsrSignature", "the CSR is not signed by its key");
  } catch (error) {
    return reject("FailedToDecodeCsr", `the CSR cannot be read: ${String(error)}`);
  }
  const spki = Buffer.from(request.publicKey.rawData);
  const key = createPublicKey({ key: spki, format: "der", type: "spki" });
  if (!["secp384r1", "prime256v1"].includes(key.asymmetricKeyDetails?.namedCurve ?? "")) {
    return reject("UnsupportedKey", "the CSR's key is not an EC key on P-384 or P-256");
  }
  const names = request.subjectName.getField("CN");
  if (names.length !== 1 || names[0] !== commonName) {
    return reject("CommonNameMismatch", `the CSR's CN is not ${commonName}`);
  }
  return request;
}

function reject(credentialError: string, because: string): Rejection {
  return { status: "rejected", credentialError, because };
}

async function createIssuer(name: string, validityDays: number, nowMs: number): Promise<Issuer> {
  // Ten years from yesterday: a simulated clock stays inside.
  const validity = { notBefore: new Date(nowMs - dayMs), notAfter: new Date(nowMs + 3650 * dayMs) };
  const usage = new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true);
  const rootKeys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const root = await X509CertificateGenerator.createSelfSigned({
    ...validity,
    serialNumber: serialNumber(),
    name: `CN=${name} root`,
    signingAlgorithm: algorithm,
    keys: rootKeys,
    extensions: [new BasicConstraintsExtension(true, 1, true), usage],
  });
  const intermediate = await X509CertificateGenerator.create({
    ...validity,
    serialNumber: serialNumber(),
    subject: `CN=${name} issuing`,
    issuer: root.subject,
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: rootKeys.privateKey,
    extensions: [new BasicConstraintsExtension(true, 0, true), usage],
  });
  const policy = { name, validityDays, rootPem: `${root.toString("pem")}\n` };
  return { policy, root, intermediate, signingKey: keys.privateKey };
}

/** Positive and without a leading zero octet (RFC 5280 4.1.2.2). */
function serialNumber(): string {
  return `40${randomBytes(8).toString("hex")}`;
}
