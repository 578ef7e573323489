import {
  constants,
  createHash,
  diffieHellman,
  generateKeyPairSync,
  privateDecrypt,
  publicEncrypt,
  sign,
  verify,
} from "node:crypto";
import { registerTlsKey } from "../../src/identity/tls-signer/tls-signer.ts";

/**
 * Runs in a process of its own: the provider is there before OpenSSL has looked up any RSA algorithm, which is when
 * a second provider of the same names could be taken for the first. Prints what still works.
 */
const publicKey =
  "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAENj6PkzxunClKExaLERYVhDST333zErS1nnfH3cFCs1C2jefswJkTw3yIGv+9Iw3rUNWUwn6kNsw+tKG9OIoHCQ==";
registerTlsKey(Buffer.from(publicKey, "base64"), () => {
  throw new Error("nothing here may ask the signer");
});

const message = Buffer.from("message");
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const other = generateKeyPairSync("ec", { namedCurve: "P-256" });
const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
const pem = { type: "pkcs8", format: "pem" } as const;

const works = {
  "RSA signature": verify("sha256", message, rsa.publicKey, sign("sha256", message, rsa.privateKey)),
  "RSA-PSS signature": verify(
    "sha256",
    message,
    { key: rsa.publicKey, ...pss },
    sign("sha256", message, { key: rsa.privateKey.export(pem), ...pss }),
  ),
  "ECDSA signature": verify(
    "sha256",
    message,
    ec.publicKey,
    sign("sha256", message, ec.privateKey.export(pem)),
  ),
  "RSA encryption": privateDecrypt(rsa.privateKey, publicEncrypt(rsa.publicKey, message)).equals(message),
  ECDH: diffieHellman({ privateKey: ec.privateKey, publicKey: other.publicKey }).equals(
    diffieHellman({ privateKey: other.privateKey, publicKey: ec.publicKey }),
  ),
  MD5: createHash("md5").update("").digest("hex") === "d41d8cd98f00b204e9800998ecf8427e",
};
console.log(JSON.stringify(works));
