import { createHash, createPublicKey, randomBytes, verify, type KeyObject } from "node:crypto";
import type { Pkcs11Location } from "../../config/config.ts";
import { AgentError } from "../../platform/failure.ts";
import { Secret } from "../../platform/secret.ts";
import type { OpenHmacKey, TlsIdentityKey } from "../identity.ts";
import { ecdsaDer } from "../tls-signer/ecdsa-der.ts";
import { keyShape, type KeyShape, type SignDigest } from "../tls-signer/sign-request.ts";
import { registerTlsKey } from "../tls-signer/tls-signer.ts";
import { describeToken } from "./find-token.ts";
import { attributeOf, findKey, type TokenKey } from "./token-objects.ts";
import { tokenPublicKey } from "./token-public-key.ts";
import { tokenHmac, tokenSign } from "./token-sign.ts";
import type { Pkcs11Tokens, TokenSession } from "./tokens.ts";

/**
 * Opens a symmetric key that stays in its token, by signing once.
 * @throws AgentError as `Pkcs11Tokens.use`, `findKey` and `tokenSign`; `identity/certificate-not-set` (operator).
 */
export async function openTokenSecret(tokens: Pkcs11Tokens, at: Pkcs11Location): Promise<OpenHmacKey> {
  return tokens.use(at, (session) => {
    const key = findKey(session, at);
    if (key.kind === "private") throw certificateNotSet(session, key);
    const digest = tokenHmac(session, key, Buffer.from("latebind credential digest"));
    return {
      key: { hmac: async (data) => tokenHmac(session, key, data) },
      // The same as for a key file: a key that moves into a token is still the same credential.
      credentialDigest: digest.toString("hex"),
      custody: custodyOf(session, key),
      warnings: warningsOf(session, key),
    };
  });
}

/**
 * Opens a private key for TLS that stays in its token, and lets it sign once to see that it does.
 * @param certified the public key in the certificate, SubjectPublicKeyInfo in DER; it serves where the token knows none.
 *   Undefined where there is no certificate yet.
 * @throws AgentError as `Pkcs11Tokens.use`, `findKey`, `tokenSign` and `registerTlsKey`;
 *   `identity/certificate-key-mismatch`, `identity/token-key-unfit` (operator).
 */
export async function openTokenTlsKey(
  tokens: Pkcs11Tokens,
  at: Pkcs11Location,
  certified: Uint8Array | undefined,
): Promise<TlsIdentityKey> {
  return tokens.use(at, (session) => {
    const key = findKey(session, at);
    const publicKey = tokenPublicKey(session, key) ?? parsePublicKey(session, key, certified);
    const shape = usableShape(session, key, publicKey);
    const sign: SignDigest = (request) => tokenSign(session, key, shape, request);
    const signData = (data: Uint8Array) => signSha256(data, shape, sign);
    if (!signsFor(publicKey, signData)) throw mismatch(session, key);
    const spki = publicKey.export({ type: "spki", format: "der" });
    const registered = registerTlsKey(spki, sign);
    return {
      publicKey: spki,
      tlsKey: new Secret(registered.tlsOptions.key),
      sign: signData,
      get failure() {
        return registered.failure;
      },
      custody: custodyOf(session, key),
      warnings: warningsOf(session, key),
      [Symbol.dispose]: () => {
        registered[Symbol.dispose]();
      },
    };
  });
}

function usableShape(session: TokenSession, key: TokenKey, publicKey: KeyObject): KeyShape {
  if (key.kind === "secret")
    throw unfit(session, key, "it is a secret key, and a certificate needs a private one");
  const asksEachTime = attributeOf(session, key.handle, session.cryptoki.pk.CKA_ALWAYS_AUTHENTICATE);
  if (asksEachTime?.[0] === 1)
    throw unfit(session, key, "it wants the PIN for each signature (CKA_ALWAYS_AUTHENTICATE)");
  const shape = keyShape(publicKey);
  if (shape === undefined)
    throw unfit(session, key, "it is neither RSA of 2048 to 4096 bits nor on P-256, P-384 or P-521");
  return shape;
}

function parsePublicKey(session: TokenSession, key: TokenKey, spki: Uint8Array | undefined): KeyObject {
  if (spki === undefined) throw unfit(session, key, "the token has no public key beside it");
  return createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
}

/** A key that does not belong to its public half would fail at the service, which says much less about it. */
function signsFor(publicKey: KeyObject, signData: TlsIdentityKey["sign"]): boolean {
  const data = randomBytes(32);
  return verify("sha256", data, publicKey, signData(data));
}

function signSha256(data: Uint8Array, shape: KeyShape, sign: SignDigest): Uint8Array {
  const digest = createHash("sha256").update(data).digest();
  switch (shape.kind) {
    case "ec":
      return ecdsaDer(sign({ scheme: "ecdsa", hash: "sha256", digest }));
    case "rsa":
      return sign({ scheme: "rsa-pkcs1", hash: "sha256", digest });
  }
}

/** PKCS#11 4.9: who may read the key. A key that was once outside may have been copied then. */
function warningsOf(session: TokenSession, key: TokenKey): readonly string[] {
  const { pk } = session.cryptoki;
  const name = nameOf(session, key);
  const is = (type: number) => attributeOf(session, key.handle, type)?.[0];
  return [
    ...(is(pk.CKA_EXTRACTABLE) === 1
      ? [`the ${name} can be copied out of it (CKA_EXTRACTABLE): make a new one that cannot`]
      : []),
    ...(is(pk.CKA_SENSITIVE) === 0
      ? [`the ${name} can be read in plain text (CKA_SENSITIVE is false): make a new one that cannot`]
      : []),
  ];
}

function custodyOf(session: TokenSession, key: TokenKey): string {
  return `PKCS#11 ${nameOf(session, key)}`;
}

/** `key "device" in the token "gateway" (serial 6c54acbf2858baba)` */
function nameOf({ token }: TokenSession, { label, id }: TokenKey): string {
  const name = label === "" ? `with the ID ${id}` : JSON.stringify(label);
  return `key ${name} in the token ${describeToken(token)}`;
}

function unfit(session: TokenSession, key: TokenKey, because: string): AgentError {
  return new AgentError(
    "identity/token-key-unfit",
    "operator",
    `the ${nameOf(session, key)} cannot be used: ${because}. Make another key and name it in \`key\``,
  );
}

function mismatch(session: TokenSession, key: TokenKey): AgentError {
  return new AgentError(
    "identity/certificate-key-mismatch",
    "operator",
    `the ${nameOf(session, key)} does not sign for its certificate or public key. ` +
      "Bring the certificate there that was made for this key, or name the other key in `key`",
  );
}

function certificateNotSet(session: TokenSession, key: TokenKey): AgentError {
  return new AgentError(
    "identity/certificate-not-set",
    "operator",
    `the ${nameOf(session, key)} is a private key, but no certificate is configured. Add to the configuration: ` +
      'certificate = "file:device.pem", or as pkcs11: URI if it lies in the token',
  );
}
