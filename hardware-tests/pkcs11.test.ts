import { readFileSync } from "node:fs";
import { X509Certificate } from "node:crypto";
import { afterAll, describe, expect, test } from "vitest";
import { openTokenSecret, openTokenTlsKey } from "../src/identity/pkcs11/open-token-key.ts";
import { readTokenCertificate } from "../src/identity/pkcs11/token-certificate.ts";
import { Pkcs11Tokens } from "../src/identity/pkcs11/tokens.ts";
import {
  describeHmacKeyContract,
  describeTlsKeyContract,
  type TlsKeySpecimen,
} from "../test/contract/key.ts";
import { tokenLocation } from "../test/identity/token-location.ts";

/*
 * The promises of keys, held against a module and token of your own. Nothing in the token is changed, and the PIN is given once.
 *
 *   LATEBIND_HMAC_KEY     pkcs11: URI of a generic secret, with module-path and pin-source=/absolute/path
 *   LATEBIND_TLS_KEY      pkcs11: URI of a private key
 *   LATEBIND_CERTIFICATE  its certificate: a PEM file, or a pkcs11: URI; a self-signed one will do
 *
 *   npm run hardware-tests
 */
const {
  LATEBIND_HMAC_KEY: hmacKey,
  LATEBIND_TLS_KEY: tlsKey,
  LATEBIND_CERTIFICATE: certificate,
} = process.env;
const tokens = new Pkcs11Tokens();

afterAll(() => {
  tokens[Symbol.dispose]();
});

async function readCertificate(place: string): Promise<string> {
  if (!place.startsWith("pkcs11:")) return readFileSync(place, "utf8");
  const { content } = await readTokenCertificate(tokens, tokenLocation(place));
  return content.toString();
}

/** Nothing has to be put away: the token is the tester's. */
const nothing = { [Symbol.dispose]: () => undefined };

const openSecret = async () => openTokenSecret(tokens, tokenLocation(hmacKey ?? ""));

describe.skipIf(hmacKey === undefined)("the symmetric key of LATEBIND_HMAC_KEY", () => {
  describeHmacKeyContract(async () => ({ open: openSecret, ...nothing }));

  test("cannot leave its token", async () => {
    expect((await openSecret()).warnings).toEqual([]);
  });
});

async function tlsSpecimen(): Promise<TlsKeySpecimen> {
  const certPem = await readCertificate(certificate ?? "");
  const certified = new X509Certificate(certPem).publicKey.export({ type: "spki", format: "der" });
  const at = tokenLocation(tlsKey ?? "");
  return { open: async () => openTokenTlsKey(tokens, at, certified), certPem, ...nothing };
}

describe.skipIf(tlsKey === undefined || certificate === undefined)(
  "the private key of LATEBIND_TLS_KEY",
  () => {
    describeTlsKeyContract(tlsSpecimen);

    test("cannot leave its token", async () => {
      const { open } = await tlsSpecimen();
      using key = await open();
      expect(key.warnings).toEqual([]);
    });
  },
);

test("something was tested", () => {
  expect(
    hmacKey ?? tlsKey ?? process.env["LATEBIND_TPM"],
    "set LATEBIND_HMAC_KEY, or LATEBIND_TLS_KEY and LATEBIND_CERTIFICATE, or LATEBIND_TPM",
  ).toBeDefined();
});
