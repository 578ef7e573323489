import { constants, createCipheriv, createHash, createHmac, publicEncrypt, randomBytes } from "node:crypto";
import type { TpmStorageKey } from "./tpm-public.ts";

/** Name of a keyed-hash object and what a TPM needs to take it in. */
interface HmacObject {
  readonly publicArea: Buffer;
  /** TPM2B_SENSITIVE. */
  readonly sensitive: Buffer;
  readonly name: Buffer;
}

const keyedHash = 0x0008;
const sha256Id = 0x000b;
const hmacScheme = 0x0005;
/** userWithAuth, noDA, sign: neither fixedTPM nor fixedParent, or it could not be sent. */
const attributes = 0x0004_0440;

/**
 * What DPS calls an `authenticationKey`: an HMAC key that only the TPM with this EK and this SRK can take in.
 *
 * Six fields, each with a size of two octets before it: the credential (a fresh AES key, readable with the EK while the SRK
 * is loaded), its encrypted seed, the duplicated HMAC key (wrapped by that AES key, then by a seed), that seed encrypted to
 * the SRK, the HMAC key's public area, and data that today's devices skip.
 * @param hmacKey 16 to 64 bytes: TPMs refuse longer ones.
 * @see TPM 2.0 Part 1, 23 (duplication) and 24 (credential protection)
 */
export function makeAuthenticationKey(
  endorsementKey: TpmStorageKey,
  storageRootKey: TpmStorageKey,
  hmacKey: Buffer,
): Buffer {
  const wrappingKey = randomBytes(16);
  const object = makeHmacObject(hmacKey);
  // The services' own blobs carry an encrypted address here, of about this length.
  const skipped = randomBytes(154);
  return Buffer.concat([
    ...makeCredential(endorsementKey, storageRootKey.name, wrappingKey),
    ...makeDuplicate(storageRootKey, object, wrappingKey),
    sized(object.publicArea),
    sized(skipped),
  ]);
}

/** TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET: TPM2_ActivateCredential gets the secret out for the named object only. */
function makeCredential(to: TpmStorageKey, objectName: Buffer, secret: Buffer): [Buffer, Buffer] {
  const { seed, encryptedSeed } = makeSeed(to, "IDENTITY");
  return [sized(protect(seed, objectName, sized(secret))), sized(encryptedSeed)];
}

/** TPM2B_PRIVATE and TPM2B_ENCRYPTED_SECRET: TPM2_Import takes the object under the parent. */
function makeDuplicate(parent: TpmStorageKey, object: HmacObject, wrappingKey: Buffer): [Buffer, Buffer] {
  const integrity = sized(sha256(object.sensitive, object.name));
  const inner = encrypt(wrappingKey, Buffer.concat([integrity, object.sensitive]));
  const { seed, encryptedSeed } = makeSeed(parent, "DUPLICATE");
  return [sized(protect(seed, object.name, inner)), sized(encryptedSeed)];
}

function makeHmacObject(key: Buffer): HmacObject {
  const obfuscation = randomBytes(32);
  // The TPM recomputes this when it loads the object.
  const unique = sha256(obfuscation, key);
  const publicArea = Buffer.concat([
    uint16(keyedHash),
    uint16(sha256Id),
    uint32(attributes),
    sized(Buffer.alloc(0)),
    uint16(hmacScheme),
    uint16(sha256Id),
    sized(unique),
  ]);
  const noAuth = sized(Buffer.alloc(0));
  const sensitive = sized(Buffer.concat([uint16(keyedHash), noAuth, sized(obfuscation), sized(key)]));
  return { publicArea, sensitive, name: Buffer.concat([uint16(sha256Id), sha256(publicArea)]) };
}

/** A seed that the owner of the key can read, for one purpose (Part 1, B.4: the label ends in a zero octet). */
function makeSeed(
  { publicKey }: TpmStorageKey,
  label: "IDENTITY" | "DUPLICATE",
): { readonly seed: Buffer; readonly encryptedSeed: Buffer } {
  const seed = randomBytes(32);
  const encryptedSeed = publicEncrypt(
    {
      key: publicKey,
      padding: constants.RSA_PKCS1_OAEP_PADDING,
      oaepHash: "sha256",
      oaepLabel: Buffer.from(`${label}\0`),
    },
    seed,
  );
  return { seed, encryptedSeed };
}

/** Encrypted, then authenticated together with the name of the object that it belongs to. */
function protect(seed: Buffer, name: Buffer, data: Buffer): Buffer {
  const encrypted = encrypt(deriveKey(seed, "STORAGE", name, 128), data);
  const integrityKey = deriveKey(seed, "INTEGRITY", Buffer.alloc(0), 256);
  const integrity = createHmac("sha256", integrityKey).update(encrypted).update(name).digest();
  return Buffer.concat([sized(integrity), encrypted]);
}

/** KDFa with SHA-256 (Part 1, 11.4.10.2); one round suffices for up to 256 bits. */
function deriveKey(seed: Buffer, label: string, context: Buffer, bits: 128 | 256): Buffer {
  const block = createHmac("sha256", seed)
    .update(uint32(1))
    .update(`${label}\0`)
    .update(context)
    .update(uint32(bits))
    .digest();
  return block.subarray(0, bits / 8);
}

function encrypt(key: Buffer, data: Buffer): Buffer {
  const cipher = createCipheriv("aes-128-cfb", key, Buffer.alloc(16));
  return Buffer.concat([cipher.update(data), cipher.final()]);
}

function sha256(...parts: readonly Buffer[]): Buffer {
  return createHash("sha256").update(Buffer.concat(parts)).digest();
}

function sized(data: Buffer): Buffer {
  return Buffer.concat([uint16(data.length), data]);
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
