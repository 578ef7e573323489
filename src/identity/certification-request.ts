import { createPublicKey } from "node:crypto";
import { der } from "./der.ts";
import type { TlsIdentityKey } from "./identity.ts";

/** DER of the object identifiers 2.5.4.3, 1.2.840.113549.1.1.11 and 1.2.840.10045.4.3.2. */
const commonNameType = Buffer.from("0603550403", "hex");
const rsaWithSha256 = Buffer.from("06092a864886f70d01010b", "hex");
const ecdsaWithSha256 = Buffer.from("06082a8648ce3d040302", "hex");

const sequence = 0x30;
const set = 0x31;
const utf8String = 0x0c;
const bitString = 0x03;
const none = Buffer.of(0x05, 0x00);
const versionOne = Buffer.of(0x02, 0x01, 0x00);
/** `[0]`, of which there are none. */
const attributes = Buffer.of(0xa0, 0x00);

/**
 * Asks an authority for a certificate: a PKCS#10 request, signed by the key that the certificate is for.
 * @param commonName 1 to 64 characters, the registration ID.
 * @returns PEM, as `openssl x509 -req` takes it.
 * @throws AgentError as the key.
 * @see RFC 2986 section 4
 */
export function certificationRequest(
  commonName: string,
  { publicKey, sign }: Pick<TlsIdentityKey, "publicKey" | "sign">,
): string {
  const name = der(
    sequence,
    der(set, der(sequence, commonNameType, der(utf8String, Buffer.from(commonName)))),
  );
  const info = der(sequence, versionOne, name, publicKey, attributes);
  const signature = der(bitString, Buffer.of(0), sign(info));
  return pem(der(sequence, info, algorithmOf(publicKey), signature));
}

/** RFC 4055 section 5 wants NULL beside RSA's identifier, RFC 5758 section 3.2 nothing beside that of ECDSA. */
function algorithmOf(publicKey: Uint8Array): Buffer {
  const { asymmetricKeyType } = createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
  return asymmetricKeyType === "rsa" ? der(sequence, rsaWithSha256, none) : der(sequence, ecdsaWithSha256);
}

/** RFC 7468 section 7. */
function pem(request: Buffer): string {
  const lines = request.toString("base64").replaceAll(/.{64}(?=.)/g, "$&\n");
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines}\n-----END CERTIFICATE REQUEST-----\n`;
}
