import { createHmac, createPublicKey, randomBytes, verify } from "node:crypto";
import { inspect } from "node:util";
import { expect, test } from "vitest";
import type { OpenHmacKey, TlsIdentityKey } from "../../src/identity/identity.ts";
import { sharedAccessSignature } from "../../src/identity/sas.ts";
import { startMutualTls } from "../identity/mutual-tls.ts";

export interface HmacKeySpecimen extends Disposable {
  /** Opens the key anew, as each step of the agent does. */
  readonly open: () => Promise<OpenHmacKey>;
  /** What is inside, where a test may know it: the key of a customer's token stays there. */
  readonly secret?: Buffer;
}

export interface TlsKeySpecimen extends Disposable {
  readonly open: () => Promise<TlsIdentityKey>;
  /** PEM of a certificate for the key, signed by itself. */
  readonly certPem: string;
  /** PKCS#8, as for `HmacKeySpecimen`. */
  readonly privateKey?: Buffer;
}

const never = new AbortController().signal;

/** What every symmetric key promises. Call it inside a `describe`; each test has a specimen of its own. */
export function describeHmacKeyContract(prepare: () => Promise<HmacKeySpecimen>): void {
  test("contract: HMAC-SHA256 has 32 bytes, depends on every byte, and is the same each time", async () => {
    using specimen = await prepare();
    const { key } = await specimen.open();
    const hmac = async (data: Buffer) => Buffer.from(await key.hmac(data, never)).toString("hex");
    const data = randomBytes(1000);
    const first = await hmac(data);
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(await hmac(data)).toBe(first);
    data[999] = (data[999] ?? 0) ^ 1;
    expect(await hmac(data)).not.toBe(first);
  });

  test("contract: HMAC-SHA256 is the one that Azure computes with the same key", async (context) => {
    using specimen = await prepare();
    const { secret } = specimen;
    if (secret === undefined) return context.skip("this key cannot be known outside its token");
    const { key } = await specimen.open();
    for (const data of [Buffer.of(0), Buffer.from("scope%2Fregistrations%2Fgw-1\n1800000000")]) {
      const expected = createHmac("sha256", secret).update(data).digest();
      expect(Buffer.from(await key.hmac(data, never)).equals(expected)).toBe(true);
    }
    return undefined;
  });

  test("contract: the digest names the key: the same at each opening, and no part of the key", async () => {
    using specimen = await prepare();
    const [one, other] = [await specimen.open(), await specimen.open()];
    expect(one.credentialDigest).toMatch(/^[0-9a-f]{64}$/);
    expect(other.credentialDigest).toBe(one.credentialDigest);
  });

  test("contract: many tokens at once are all signed", async () => {
    using specimen = await prepare();
    const { key } = await specimen.open();
    const sign = async (at: number) =>
      sharedAccessSignature(key, "hub/devices/gw", at * 1000, undefined, never);
    const tokens = await Promise.all(Array.from({ length: 50 }, async (_, at) => sign(at)));
    expect(new Set(tokens.map((token) => token.reveal())).size).toBe(50);
  });

  test("contract: what is said of the key is for people, and printing it shows nothing secret", async () => {
    using specimen = await prepare();
    const open = await specimen.open();
    expect(open.custody).not.toBe("");
    expectSilence(open, specimen.secret);
  });
}

/** What every private key promises. Call it inside a `describe`; each test has a specimen of its own. */
export function describeTlsKeyContract(prepare: () => Promise<TlsKeySpecimen>): void {
  test.each(["TLSv1.2", "TLSv1.3"] as const)(
    "contract: a server verifies the client over %s, time and again",
    async (version) => {
      using specimen = await prepare();
      await using server = await startMutualTls([specimen.certPem]);
      for (let round = 1; round <= 3; round += 1) {
        using key = await specimen.open();
        const options = { cert: specimen.certPem, key: key.tlsKey.reveal() };
        const result = await server.handshake({ ...options, minVersion: version, maxVersion: version });
        expect(result).toMatchObject({ status: "accepted", protocol: version });
        expect(key.failure).toBeUndefined();
      }
    },
  );

  test("contract: the public key is the certificate's, and signatures hold under it", async () => {
    using specimen = await prepare();
    using key = await specimen.open();
    const certified = createPublicKey(specimen.certPem);
    expect(Buffer.from(key.publicKey).equals(certified.export({ type: "spki", format: "der" }))).toBe(true);
    for (const data of [Buffer.alloc(0), randomBytes(10_000)]) {
      const signature = key.sign(data);
      expect(verify("sha256", data, certified, signature)).toBe(true);
      expect(verify("sha256", Buffer.concat([data, data, Buffer.of(1)]), certified, signature)).toBe(false);
    }
  });

  test("contract: what is said of the key is for people, and printing it shows nothing secret", async () => {
    using specimen = await prepare();
    using key = await specimen.open();
    expect(key.custody).not.toBe("");
    expectSilence(key, specimen.privateKey);
    expect(inspect(key, { depth: null })).not.toContain("PRIVATE KEY");
  });
}

function expectSilence(value: unknown, secret: Buffer | undefined): void {
  const printed = `${inspect(value, { depth: null, showHidden: true })}${JSON.stringify(value)}`;
  expect(printed).toContain("custody");
  if (secret === undefined) return;
  for (const encoding of ["hex", "base64", "latin1"] as const)
    expect(printed).not.toContain(secret.toString(encoding));
}
