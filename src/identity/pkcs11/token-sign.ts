import type { Mechanism } from "pkcs11js";
import { AgentError } from "../../platform/failure.ts";
import { digestInfo } from "../tls-signer/digest-info.ts";
import type { Hash, KeyShape, SignRequest } from "../tls-signer/sign-request.ts";
import { cryptokiFailure, describeCryptokiError, rawCodeOf } from "./cryptoki-failure.ts";
import { describeToken } from "./find-token.ts";
import type { TokenKey } from "./token-objects.ts";
import type { TokenSession } from "./tokens.ts";

/** HMAC-SHA256 by a secret key in a token: 32 bytes. Fails as `tokenSign`. */
export function tokenHmac(session: TokenSession, key: TokenKey, data: Uint8Array): Buffer {
  return sign(session, key, { mechanism: session.cryptoki.pk.CKM_SHA256_HMAC }, data, 32);
}

/**
 * Signs one digest by a private key in a token. A failure is remembered by the session, so that the next step opens a new one.
 * @returns as `SignDigest`.
 * @throws AgentError `identity/token-failed` (retry), `identity/token-key-unfit` (operator); the CKR name is in the message.
 */
export function tokenSign(
  session: TokenSession,
  key: TokenKey,
  shape: KeyShape,
  request: SignRequest,
): Uint8Array {
  const { pk } = session.cryptoki;
  const width = Math.ceil(shape.bits / 8);
  switch (request.scheme) {
    case "ecdsa":
      // FIPS 186-5 6.4.1 step 2: a longer digest is cut to the bits of the order. Not every token does that itself.
      return sign(session, key, { mechanism: pk.CKM_ECDSA }, request.digest.subarray(0, width), 2 * width);
    case "rsa-pkcs1": {
      const info = digestInfo(request.hash, request.digest);
      return sign(session, key, { mechanism: pk.CKM_RSA_PKCS }, info, width);
    }
    case "rsa-pss": {
      const { hash, digest, saltLength } = request;
      const parameter = { type: pk.CK_PARAMS_RSA_PSS, ...pssHash(session, hash), saltLen: saltLength };
      return sign(session, key, { mechanism: pk.CKM_RSA_PKCS_PSS, parameter }, digest, width);
    }
  }
}

function pssHash(
  { cryptoki: { pk } }: TokenSession,
  hash: Hash,
): { readonly hashAlg: number; readonly mgf: number } {
  switch (hash) {
    case "sha256":
      return { hashAlg: pk.CKM_SHA256, mgf: pk.CKG_MGF1_SHA256 };
    case "sha384":
      return { hashAlg: pk.CKM_SHA384, mgf: pk.CKG_MGF1_SHA384 };
    case "sha512":
      return { hashAlg: pk.CKM_SHA512, mgf: pk.CKG_MGF1_SHA512 };
  }
}

function sign(
  session: TokenSession,
  key: TokenKey,
  mechanism: Mechanism,
  data: Uint8Array,
  length: number,
): Buffer {
  // The module behind a closed session may no longer be in memory.
  if (session.lost !== undefined)
    throw cryptokiFailure(
      `the session with the token ${describeToken(session.token)} is closed`,
      session.lost,
    );
  const { module } = session.cryptoki;
  try {
    module.C_SignInit(session.handle, mechanism, key.handle);
    return module.C_Sign(session.handle, Buffer.from(data), Buffer.alloc(length));
  } catch (cause) {
    session.lost = cause instanceof Error ? cause : new Error(String(cause));
    throw signFailure(session, key, cause);
  }
}

function signFailure({ cryptoki: { pk }, token }: TokenSession, key: TokenKey, cause: unknown): AgentError {
  const what = `the key ${JSON.stringify(key.label)} in the token ${describeToken(token)}`;
  const unfit = [
    pk.CKR_MECHANISM_INVALID,
    pk.CKR_MECHANISM_PARAM_INVALID,
    pk.CKR_KEY_TYPE_INCONSISTENT,
    pk.CKR_KEY_FUNCTION_NOT_PERMITTED,
    pk.CKR_KEY_SIZE_RANGE,
  ];
  const code = rawCodeOf(cause);
  if (code === undefined || !unfit.includes(code)) return cryptokiFailure(`${what} did not sign`, cause);
  return new AgentError(
    "identity/token-key-unfit",
    "operator",
    `${what} cannot make this signature (${describeCryptokiError(cause)}). ` +
      "Expected a private RSA or EC key with CKA_SIGN, or a generic secret whose token knows CKM_SHA256_HMAC",
    { cause },
  );
}
