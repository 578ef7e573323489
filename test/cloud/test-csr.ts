// The certificate library resolves its parts through reflection metadata and refuses to load without this.
import "reflect-metadata";
import { Pkcs10CertificateRequestGenerator } from "@peculiar/x509";

export interface TestRequest {
  /** Base64 of DER. */
  readonly csr: string;
  readonly keyPem: string;
}

/** A certificate request with a fresh key, EC on P-384 where nothing is said. */
export async function createCsr(commonName: string, curve = "P-384"): Promise<TestRequest> {
  const algorithm = { name: "ECDSA", namedCurve: curve, hash: "SHA-384" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: `CN=${commonName}`,
    keys,
    signingAlgorithm: algorithm,
  });
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  return {
    csr: Buffer.from(request.rawData).toString("base64"),
    keyPem: `-----BEGIN PRIVATE KEY-----\n${pkcs8.replaceAll(/.{64}/g, "$&\n")}\n-----END PRIVATE KEY-----\n`,
  };
}
