// The certificate library resolves its parts through reflection metadata and refuses to load without this.
import "reflect-metadata";
import { BasicConstraintsExtension, X509CertificateGenerator } from "@peculiar/x509";
import { createPublicKey } from "node:crypto";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { der } from "../../src/identity/der.ts";
import type { TlsIdentityKey } from "../../src/identity/identity.ts";
import type { TpmKeyPlace } from "../../src/config/config.ts";
import { readStorageRootKey } from "../../src/identity/tpm/primary-keys.ts";
import type { SoftTpm } from "./soft-tpm.ts";

export type TpmKeyKind = "P-256" | "P-384" | "RSA-2048" | "RSA-2048 for signatures alone";

const algorithms: Readonly<Record<TpmKeyKind, string>> = {
  "P-256": "ecc256",
  "P-384": "ecc384",
  "RSA-2048": "rsa2048",
  "RSA-2048 for signatures alone": "rsa2048",
};

export const signs = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign";

const never = new AbortController().signal;

interface Wish {
  /** As for tpm2_create -G. */
  readonly algorithm?: string;
  readonly attributes?: string;
}

/** Makes a key in two files, wrapped by the storage root key that the agent would make. */
export async function makeKeyFiles(
  soft: Pick<SoftTpm, "open" | "tool" | "folder">,
  kind: TpmKeyKind,
  { algorithm = algorithms[kind], attributes = kind === "RSA-2048" ? `${signs}|decrypt` : signs }: Wish = {},
): Promise<Extract<TpmKeyPlace, { kind: "files" }>> {
  const tpm = soft.open();
  await tpm.use(async (commands) => readStorageRootKey(commands, tpm.settings), never);
  const files = ["device.pub", "device.priv"] as const;
  const key = ["-G", algorithm, "-a", attributes, "-u", files[0], "-r", files[1]];
  await soft.tool("create", "-Q", "-C", "0x81000001", ...key);
  const [publicHalf, privateHalf] = files.map((name) => {
    const path = join(soft.folder, name);
    chmodSync(path, 0o600);
    return [{ path, isCredential: false }];
  });
  return { kind: "files", public: publicHalf ?? [], private: privateHalf ?? [] };
}

/** Makes a key at a persistent handle. */
export async function makeKeyAtHandle(
  soft: SoftTpm,
  kind: TpmKeyKind,
  wish?: Wish,
): Promise<Extract<TpmKeyPlace, { kind: "handle" }>> {
  await makeKeyFiles(soft, kind, wish);
  const handle = "0x81000201";
  if ((await soft.handles("persistent")).includes(handle))
    await soft.tool("evictcontrol", "-C", "o", "-c", handle);
  await soft.tool(
    "load",
    "-Q",
    "-C",
    "0x81000001",
    "-u",
    "device.pub",
    "-r",
    "device.priv",
    "-c",
    "device.ctx",
  );
  await soft.tool("evictcontrol", "-Q", "-C", "o", "-c", "device.ctx", handle);
  await soft.tool("flushcontext", "-t");
  return { kind: "handle", handle };
}

/**
 * PEM of a certificate that the key itself has signed, valid for a day: another key of its kind makes one, and where that one's
 * signature was, this one's is put.
 */
export async function selfSignedBy({ publicKey, sign }: TlsIdentityKey, commonName: string): Promise<string> {
  const algorithm = algorithmOf(publicKey);
  const other = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const day = 24 * 60 * 60 * 1000;
  const draft = await X509CertificateGenerator.create({
    subject: `CN=${commonName}`,
    issuer: `CN=${commonName}`,
    notBefore: new Date(Date.now() - day),
    notAfter: new Date(Date.now() + day),
    extensions: [new BasicConstraintsExtension(false, undefined, true)],
    publicKey,
    signingKey: other.privateKey,
    signingAlgorithm: algorithm,
  });
  const content = elements(Buffer.from(draft.rawData))[0] ?? Buffer.alloc(0);
  const [signed = content, how = content] = elements(content.subarray(headerLength(content)));
  const signature = der(0x03, Buffer.of(0), sign(signed));
  return pem("CERTIFICATE", der(0x30, signed, how, signature));
}

function algorithmOf(publicKey: Uint8Array) {
  const key = createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
  if (key.asymmetricKeyType === "rsa") {
    const exponent = { modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1) };
    return { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256", ...exponent };
  }
  const namedCurve = key.asymmetricKeyDetails?.namedCurve === "secp384r1" ? "P-384" : "P-256";
  return { name: "ECDSA", hash: "SHA-256", namedCurve };
}

/** The elements of DER that stand one after the other, headers included. */
function elements(bytes: Buffer): readonly Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const rest = bytes.subarray(at);
    const header = headerLength(rest);
    const length = header === 2 ? (rest[1] ?? 0) : rest.readUIntBE(2, header - 2);
    found.push(rest.subarray(0, header + length));
    at += header + length;
  }
  return found;
}

function headerLength(bytes: Buffer): number {
  const first = bytes[1] ?? 0;
  return first < 0x80 ? 2 : 2 + (first & 0x7f);
}

function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString("base64").replaceAll(/.{64}(?=.)/g, "$&\n");
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}
