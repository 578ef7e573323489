import { createPrivateKey, createPublicKey, sign, type KeyObject } from "node:crypto";
import { AgentError } from "../platform/failure.ts";
import { Secret } from "../platform/secret.ts";
import type { TlsIdentityKey } from "./identity.ts";
import { readKeyFile, type FileLocation } from "./read-key-file.ts";

/** RFC 7468 section 2, for the labels of PKCS#8, PKCS#1 and SEC 1; EC PARAMETERS before it is not ours. */
const privateKeyBlock = /-----BEGIN ((?:RSA |EC |ENCRYPTED )?PRIVATE KEY)-----[\s\S]+?-----END \1-----/;

/**
 * Opens a private key in PEM (PKCS#8, PKCS#1 or SEC 1), readable by its owner only. What else the file holds is read over.
 * @throws AgentError as `readKeyFile`; `identity/key-malformed`, `identity/key-encrypted` (operator).
 */
export async function openPrivateKeyFile(locations: readonly FileLocation[]): Promise<TlsIdentityKey> {
  const { path, content } = await readKeyFile(locations, "the private key of the certificate (PEM)");
  const [pem, label] = privateKeyBlock.exec(content.toString("latin1")) ?? [];
  content.fill(0);
  if (pem === undefined) {
    throw new AgentError(
      "identity/key-malformed",
      "operator",
      `${path} holds no private key in PEM, which a certificate needs. Put it there, or take \`certificate\` out of the configuration for a symmetric key`,
    );
  }
  if (label === "ENCRYPTED PRIVATE KEY" || pem.includes("Proc-Type: 4,ENCRYPTED")) throw encrypted(path);
  const key = parse(pem, path);
  return {
    publicKey: createPublicKey(key).export({ type: "spki", format: "der" }),
    tlsKey: new Secret(pem),
    sign: (data) => sign("sha256", data, key),
    failure: undefined,
    custody: `file ${path}`,
    warnings: [],
    [Symbol.dispose]: () => {
      // A key file holds nothing open.
    },
  };
}

function parse(pem: string, path: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw new AgentError(
      "identity/key-malformed",
      "operator",
      `the private key in ${path} is damaged: expected PKCS#8, PKCS#1 or SEC 1 in PEM`,
      { cause },
    );
  }
}

/** A passphrase would have to lie beside the file, where it protects nothing. */
function encrypted(path: string): AgentError {
  return new AgentError(
    "identity/key-encrypted",
    "operator",
    `the private key in ${path} is encrypted, and an agent has nobody to ask for the passphrase. ` +
      `Run: openssl pkey -in ${path} -out ${path}.plain; mv ${path}.plain ${path}; chmod 0600 ${path}. Or keep it in a token`,
  );
}
