import { constants, publicDecrypt, type KeyObject } from "node:crypto";
import { AgentError } from "../../platform/failure.ts";
import { digestInfo } from "../tls-signer/digest-info.ts";
import type { KeyShape, SignRequest } from "../tls-signer/sign-request.ts";
import type { BlockingTpm } from "../tpm/blocking-tpm.ts";
import { encodePss, pssSaltLength } from "./pss-encoding.ts";

/** A private key in a TPM, ready to sign. */
export interface TpmSigner {
  readonly tpm: BlockingTpm;
  /** For messages: `key 0x81000201 in the TPM`. */
  readonly name: string;
  readonly shape: KeyShape;
  readonly publicKey: KeyObject;
  /** With RSA: whether it does the bare private operation too, and so takes padding that was made outside. */
  readonly canDecrypt: boolean;
  /** Makes the key known to the TPM and returns what the tools call it: a handle, or a file of the folder. */
  readonly load: () => string;
}

/**
 * Signs one digest in the TPM.
 * @returns as `SignDigest`.
 * @throws AgentError as `BlockingTpm.run`; `identity/tpm-salt-length` (operator).
 */
export function tpmSign(signer: TpmSigner, request: SignRequest): Uint8Array {
  try {
    const key = signer.load();
    switch (request.scheme) {
      case "ecdsa":
        return signEcdsa(signer, key, request);
      case "rsa-pkcs1":
        return signer.canDecrypt
          ? rawRsa(signer, key, padPkcs1(signer, request))
          : signRsa(signer, key, request);
      case "rsa-pss":
        return signer.canDecrypt
          ? rawRsa(signer, key, padPss(signer, request))
          : signPss(signer, key, request);
    }
  } finally {
    signer.tpm.flush();
  }
}

type Request<Scheme extends SignRequest["scheme"]> = Extract<SignRequest, { readonly scheme: Scheme }>;

/** FIPS 186-5 6.4.1 step 2: only as many bytes count as the curve has, whatever the hash was. Few TPMs know SHA-512. */
function signEcdsa({ tpm, shape }: TpmSigner, key: string, { digest }: Request<"ecdsa">): Buffer {
  const width = Math.ceil(shape.bits / 8);
  const counted = digest.subarray(0, width);
  const signature = sign(tpm, key, "ecdsa", counted);
  const r = sized(signature, 4);
  const s = sized(signature, 6 + r.length);
  return Buffer.concat([r, s].map((number) => Buffer.concat([Buffer.alloc(width - number.length), number])));
}

function signRsa({ tpm }: TpmSigner, key: string, { digest }: Request<"rsa-pkcs1">): Buffer {
  return sized(sign(tpm, key, "rsassa", digest), 4);
}

/** Part 1, B.7: a TPM chooses the salt's length by itself, as long as possible or as long as the digest. TLS wants the latter. */
function signPss(signer: TpmSigner, key: string, { digest, hash, saltLength }: Request<"rsa-pss">): Buffer {
  const signature = sized(sign(signer.tpm, key, "rsapss", digest), 4);
  const encoded = publicDecrypt({ key: signer.publicKey, padding: constants.RSA_NO_PADDING }, signature);
  const made = pssSaltLength(encoded, digest, hash);
  if (made === saltLength) return signature;
  throw new AgentError(
    "identity/tpm-salt-length",
    "operator",
    `this TPM makes RSA-PSS signatures with ${made ?? "an unknown number of"} bytes of salt, and TLS takes ${saltLength} only. ` +
      `Make the ${signer.name} anew with the attributes sign|decrypt, so that it takes padding from outside, or on the curve P-256`,
  );
}

function padPkcs1({ shape }: TpmSigner, { hash, digest }: Request<"rsa-pkcs1">): Buffer {
  const info = digestInfo(hash, digest);
  // RFC 8017 section 9.2: 00 01 FF … FF 00.
  const padding = Buffer.alloc(shape.bits / 8 - info.length - 3, 0xff);
  return Buffer.concat([Buffer.of(0, 1), padding, Buffer.of(0), info]);
}

function padPss({ shape }: TpmSigner, { digest, hash, saltLength }: Request<"rsa-pss">): Buffer {
  return encodePss(digest, hash, saltLength, shape.bits);
}

/** TPM2_RSA_Decrypt without a scheme is the private operation and nothing else (Part 3, 14.3). */
function rawRsa({ tpm }: TpmSigner, key: string, padded: Buffer): Buffer {
  tpm.folder.write("padded", padded);
  tpm.run("rsadecrypt", ["-Q", "-c", key, "-s", "null", "-o", "signature", "padded"]);
  return tpm.folder.read("signature");
}

const hashes: Readonly<Record<number, string>> = { 32: "sha256", 48: "sha384", 64: "sha512" };

/** @returns TPMT_SIGNATURE (Part 2, 11.3.4): scheme and hash, then what the scheme has, each with its length. */
function sign(tpm: BlockingTpm, key: string, scheme: string, digest: Uint8Array): Buffer {
  tpm.folder.write("digest", digest);
  const hash = hashes[digest.length] ?? "";
  tpm.run("sign", ["-Q", "-c", key, "-g", hash, "-s", scheme, "-d", "-o", "signature", "digest"]);
  return tpm.folder.read("signature");
}

function sized(bytes: Buffer, at: number): Buffer {
  return bytes.subarray(at + 2, at + 2 + bytes.readUInt16BE(at));
}
