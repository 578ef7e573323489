import type { KeyLocation, Pkcs11Location } from "../config/config.ts";
import { AgentError } from "../platform/failure.ts";
import { readCertificateFile, type CertificateSource } from "./certificate-file.ts";
import type { OpenHmacKey, TlsIdentityKey } from "./identity.ts";
import { openKeyFile } from "./key-file.ts";
import { openPrivateKeyFile } from "./private-key-file.ts";

/** Opens a symmetric key. @throws AgentError as `openKeyFile`. */
export async function openHmacKey(at: KeyLocation): Promise<OpenHmacKey> {
  switch (at.scheme) {
    case "file":
      return openKeyFile(at.locations);
    case "pkcs11":
      throw notYet(at);
  }
}

/**
 * Opens the private key of a certificate.
 * @param certified the public key in the certificate, SubjectPublicKeyInfo in DER: not every token can tell its own.
 * @throws AgentError as `openPrivateKeyFile`.
 */
export async function openTlsKey(at: KeyLocation, _certified: Uint8Array): Promise<TlsIdentityKey> {
  switch (at.scheme) {
    case "file":
      return openPrivateKeyFile(at.locations);
    case "pkcs11":
      throw notYet(at);
  }
}

/** Reads a certificate chain, not yet parsed. @throws AgentError as `readCertificateFile`. */
export async function readCertificates(at: KeyLocation): Promise<CertificateSource> {
  switch (at.scheme) {
    case "file":
      return readCertificateFile(at.locations);
    case "pkcs11":
      throw notYet(at);
  }
}

function notYet({ modulePath }: Pkcs11Location): AgentError {
  return new AgentError("identity/pkcs11-unavailable", "operator", `${modulePath} cannot be used yet`);
}
