import { AgentError } from "../platform/failure.ts";
import type { CertificateLocation, KeyLocation } from "../config/config.ts";
import { readCertificateFile, type CertificateSource } from "./certificate-file.ts";
import type { OpenHmacKey, TlsIdentityKey } from "./identity.ts";
import { openKeyFile } from "./key-file.ts";
import type { LazyTpm } from "./lazy-tpm.ts";
import type { Pkcs11Tokens } from "./pkcs11/tokens.ts";

/*
 * What only some devices have is loaded when it is asked for: a start that needs none of it should not pay for it.
 */

/** Where keys are that no file holds. */
interface KeyHolders {
  readonly tokens: Pkcs11Tokens;
  readonly tpm: LazyTpm;
}

/** Opens a symmetric key. @throws AgentError as `openKeyFile` and `openTokenSecret`. */
export async function openHmacKey(
  at: Exclude<KeyLocation, { readonly scheme: "tpm2" }>,
  tokens: Pkcs11Tokens,
): Promise<OpenHmacKey> {
  switch (at.scheme) {
    case "file":
      return openKeyFile(at.locations);
    case "pkcs11":
      return (await import("./pkcs11/open-token-key.ts")).openTokenSecret(tokens, at);
    case "tpm2-key":
      throw new AgentError(
        "identity/certificate-not-set",
        "operator",
        "the key that is named in the TPM is a private key, but no certificate is configured. Add to the configuration: " +
          'certificate = "file:device.pem"; latebind identity csr asks for one',
      );
  }
}

/**
 * Opens the private key of a certificate.
 * @param certified the public key in the certificate, SubjectPublicKeyInfo in DER: not every token can tell its own.
 *   Undefined where there is no certificate yet.
 * @throws AgentError as `openPrivateKeyFile`, `openTokenTlsKey` and `openTpmTlsKey`; `identity/tpm-key-not-named` (operator).
 */
export async function openTlsKey(
  at: KeyLocation,
  certified: Uint8Array | undefined,
  { tokens, tpm }: KeyHolders,
): Promise<TlsIdentityKey> {
  switch (at.scheme) {
    case "file":
      return (await import("./private-key-file.ts")).openPrivateKeyFile(at.locations);
    case "pkcs11":
      return (await import("./pkcs11/open-token-key.ts")).openTokenTlsKey(tokens, at, certified);
    case "tpm2-key":
      return (await import("./tpm-key/open-tpm-tls-key.ts")).openTpmTlsKey(await tpm.tpm(), at.place);
    case "tpm2":
      throw new AgentError(
        "identity/tpm-key-not-named",
        "operator",
        'key = "tpm2:" is the key that DPS gives to a TPM, and no certificate belongs to it. ' +
          "Take certificate out of the configuration, or name the certificate's own key, such as tpm2:handle=0x81000201",
      );
  }
}

/** Reads a certificate chain, not yet parsed. @throws AgentError as `readCertificateFile` and `readTokenCertificate`. */
export async function readCertificates(
  at: CertificateLocation,
  tokens: Pkcs11Tokens,
): Promise<CertificateSource> {
  switch (at.scheme) {
    case "file":
      return readCertificateFile(at.locations);
    case "pkcs11":
      return (await import("./pkcs11/token-certificate.ts")).readTokenCertificate(tokens, at);
  }
}
