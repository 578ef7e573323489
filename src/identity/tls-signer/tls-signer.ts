import { createPublicKey, type KeyObject } from "node:crypto";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { isMainThread } from "node:worker_threads";
import { AgentError } from "../../platform/failure.ts";
import {
  describeRequest,
  encodeSignature,
  keyShape,
  type Hash,
  type KeyShape,
  type SignDigest,
  type SignRequest,
} from "./sign-request.ts";

/** A key that TLS can use and nobody can read. Disposing it makes later handshakes fail and keeps open ones. */
export interface TlsKey extends Disposable {
  /** Belongs into the options of `tls.connect` or `https.request`, beside `cert`. It names the key and is no secret. */
  readonly tlsOptions: { readonly key: string };
  /** What the latest signature failed with, exactly as `sign` threw it; undefined once one succeeded. */
  readonly failure: unknown;
}

/**
 * Lets `node:tls` authenticate as a client, with TLS 1.2 and 1.3, by a key that only `sign` can use.
 *
 * A handshake whose signature fails ends with an `error` event of code `ERR_SSL_SIGNER_REFUSED`, which carries the
 * message of what `sign` threw; the thrown value itself is in `failure`. Node leaves a second record of that failure
 * in OpenSSL's queue until the event's listeners have returned, and `createPublicKey` or `createPrivateKey` would
 * report it as their own: parse keys before the handshake or in a later turn of the event loop.
 *
 * Node sends no certificate, and does not say so, when `cert` holds another type of key: compare them beforehand.
 * @param publicKey SubjectPublicKeyInfo in DER; the one in the certificate.
 * @throws AgentError `identity/tls-signer-missing` (operator: not built, or not for this Node),
 *   `identity/tls-key-unsupported` (operator: neither RSA of 2048 to 4096 bits nor P-256, P-384 or P-521),
 *   `identity/tls-signer-thread` (stop: called in a worker thread).
 */
export function registerTlsKey(publicKey: Uint8Array, sign: SignDigest): TlsKey {
  const shape = readShape(publicKey);
  const addon = loadAddon();
  let failure: unknown;
  const id = addon.addKey(publicKey, (scheme, hash, digest, salt) => {
    try {
      const signature = sign(describeRequest(shape, scheme, hash, digest, salt));
      const encoded = encodeSignature(shape, signature);
      failure = undefined;
      return encoded;
    } catch (error) {
      failure = error;
      return error instanceof Error ? error.message : String(error);
    }
  });
  return {
    tlsOptions: { key: `-----BEGIN LATEBIND TLS KEY-----\n${id}\n-----END LATEBIND TLS KEY-----\n` },
    get failure() {
      return failure;
    },
    [Symbol.dispose]: () => {
      addon.removeKey(id);
    },
  };
}

/** The native side, described in `signer.h`. Text instead of bytes is the reason why there is no signature. */
interface Addon {
  addKey(
    publicKey: Uint8Array,
    sign: (scheme: SignRequest["scheme"], hash: Hash, digest: Buffer, salt: number) => Uint8Array | string,
  ): string;
  removeKey(id: string): void;
}

/** Lies beside this file, in the sources as in the bundle. Loaded late: most gateways never need it. */
function loadAddon(): Addon {
  if (!isMainThread) {
    throw new AgentError(
      "identity/tls-signer-thread",
      "stop",
      "keys for TLS must be registered on the main thread, where they sign",
    );
  }
  const path = fileURLToPath(new URL("tls-signer.node", import.meta.url));
  try {
    const addon: unknown = createRequire(import.meta.url)(path);
    if (isAddon(addon)) return addon;
    throw new TypeError(`${path} is not the TLS signer`);
  } catch (cause) {
    throw new AgentError(
      "identity/tls-signer-missing",
      "operator",
      `TLS cannot use a key that stays in its token: ${path} is not built or does not fit this Node. ` +
        "Run: apt-get install gcc libc6-dev libssl-dev, then npm ci",
      { cause },
    );
  }
}

function isAddon(value: unknown): value is Addon {
  return typeof value === "object" && value !== null && "addKey" in value && "removeKey" in value;
}

function readShape(publicKey: Uint8Array): KeyShape {
  const shape = keyShape(parsePublicKey(publicKey));
  if (shape !== undefined) return shape;
  throw new AgentError(
    "identity/tls-key-unsupported",
    "operator",
    "the key cannot be used for TLS. Expected RSA of 2048 to 4096 bits, or EC on P-256, P-384 or P-521",
  );
}

function parsePublicKey(publicKey: Uint8Array): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
  } catch (cause) {
    throw new AgentError(
      "identity/tls-key-unsupported",
      "operator",
      "the public key of the certificate cannot be read",
      { cause },
    );
  }
}
