import { quote } from "./describe-value.ts";
import type { Diagnosis } from "./key-doc.ts";
import { parsePkcs11Uri, type Pkcs11Uri } from "./pkcs11-uri.ts";
import { explainTpm2Uri, isNameOrPath, parseTpm2Uri, type Tpm2Uri } from "./tpm2-uri.ts";

/** Where a key URI points. A name without `/` is looked up later, first among the credentials, then beside the configuration. */
export type KeyUri = FileUri | Pkcs11Uri | Tpm2Uri;

/** Where a certificate is: a TPM holds none that would be the device's. */
export type CertificateUri = Exclude<KeyUri, Tpm2Uri>;

interface FileUri {
  readonly scheme: "file";
  readonly nameOrPath: string;
}

/**
 * Reads `file:device.key`, `file:/absolute/path` or `file:///absolute/path` (RFC 8089, 2), where the path is taken literally, and
 * `pkcs11:` as `parsePkcs11Uri` does, and `tpm2:` as `parseTpm2Uri`.
 * @returns undefined for everything else; `explainKeyUri` says why.
 */
export function parseKeyUri(text: string): KeyUri | undefined {
  if (text.startsWith("pkcs11:")) {
    const parsed = parsePkcs11Uri(text);
    return "found" in parsed ? undefined : parsed;
  }
  if (text.startsWith("tpm2:")) return parseTpm2Uri(text);
  return parseFileUri(text);
}

/** As `parseKeyUri`, for a certificate. */
export function parseCertificateUri(text: string): CertificateUri | undefined {
  const uri = parseKeyUri(text);
  return uri?.scheme === "tpm2" || uri?.scheme === "tpm2-key" ? undefined : uri;
}

function parseFileUri(text: string): FileUri | undefined {
  const rest = /^file:(?:\/\/(?=\/))?([\s\S]+)$/.exec(text)?.[1];
  if (rest === undefined || !isNameOrPath(rest)) return undefined;
  return { scheme: "file", nameOrPath: rest };
}

/** Says what is wrong with a key URI without repeating it: the text may be a key, or hold a PIN. */
export function explainKeyUri(value: unknown): Partial<Diagnosis> {
  if (typeof value !== "string") return {};
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(value)?.[1];
  if (scheme === undefined) {
    // Base64 has no dot, so this is a file name and may be shown.
    if (/^[\w./-]*\.[\w./-]*$/.test(value))
      return { found: quote(value), fix: `write ${quote(`file:${value}`)}` };
    return {
      found: `${value.length} characters without file: in front (not shown: they may be a key)`,
      fix: "put the key into the file device.key with mode 0600 beside this one and delete the line; a key that was pasted here is no longer secret, so regenerate it in Azure",
    };
  }
  switch (scheme) {
    case "file":
      return {
        found: 'a "file:" URI with a path that is neither a plain name nor absolute',
        fix: 'write "file:device.key" or "file:/run/secrets/device.key"',
      };
    case "pkcs11":
      return explainPkcs11(value);
    case "tpm2":
      return explainTpm2Uri(value);
    default:
      return {
        found: `the scheme ${quote(scheme)}`,
        fix: "use file: with the name of a key file, pkcs11: with a token and a key, or tpm2: for the TPM",
      };
  }
}

/** Says what is wrong with the place of a certificate. Nothing else is shown: it may be a key on the wrong line. */
export function explainCertificateUri(value: unknown): Partial<Diagnosis> {
  if (typeof value !== "string") return {};
  if (value.startsWith("pkcs11:")) return explainPkcs11(value);
  if (value.startsWith("tpm2:")) {
    return {
      found: "the TPM, which keeps no certificate for this",
      fix: 'with key = "tpm2:" delete this line; for X.509 write the name of the certificate file, such as "file:device.pem"',
    };
  }
  if (value.includes("-----BEGIN ")) {
    return { found: "PEM", fix: 'put it into a file beside this one and write its name: "file:device.pem"' };
  }
  if (/^[\w./-]*\.[\w./-]*$/.test(value))
    return { found: quote(value), fix: `write ${quote(`file:${value}`)}` };
  return { found: `${value.length} characters that name no file` };
}

function explainPkcs11(uri: string): Partial<Diagnosis> {
  const parsed = parsePkcs11Uri(uri);
  return "found" in parsed ? parsed : {};
}
