import { constants, createPublicKey, sign, verify } from "node:crypto";
import { expect, test } from "vitest";
import { registerTlsKey } from "../../src/identity/tls-signer/tls-signer.ts";
import { createClientCredential } from "./client-credential.ts";
import { softwareSigner } from "./software-signer.ts";

const message = Buffer.from("to be signed");
const padding = constants.RSA_PKCS1_PSS_PADDING;

/** Longest for RSA-2048 and SHA-256: 256 - 32 - 2. */
test.each([
  [0, 0],
  [20, 20],
  [32, 32],
  [222, 222],
  [constants.RSA_PSS_SALTLEN_DIGEST, 32],
  [constants.RSA_PSS_SALTLEN_MAX_SIGN, 222],
])("a wish for salt length %i is a salt of %i bytes", async (saltLength, expected) => {
  const credential = await createClientCredential("RSA-2048");
  const publicKey = createPublicKey(credential.certPem);
  using key = registerTlsKey(credential.publicKey, softwareSigner(credential.privateKey));
  const signature = sign("sha256", message, { ...key.tlsOptions, padding, saltLength });
  expect(verify("sha256", message, { key: publicKey, padding, saltLength: expected }, signature)).toBe(true);
  expect(verify("sha256", message, { key: publicKey, padding, saltLength: expected + 1 }, signature)).toBe(
    false,
  );
});

test("a salt that does not fit is refused before the key is asked", async () => {
  const credential = await createClientCredential("RSA-2048");
  let isAsked = false;
  using key = registerTlsKey(credential.publicKey, () => {
    isAsked = true;
    return Buffer.alloc(256);
  });
  expect(() => sign("sha256", message, { ...key.tlsOptions, padding, saltLength: 223 })).toThrow(
    "signer refused",
  );
  expect(key.failure).toMatchObject({ code: "identity/tls-signature-impossible" });
  expect(isAsked).toBe(false);
});
