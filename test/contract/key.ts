import { createHmac, X509Certificate } from "node:crypto";
import { inspect } from "node:util";
import { expect, test } from "vitest";
import type { OpenHmacKey, TlsIdentityKey } from "../../src/identity/identity.ts";
import { startMutualTls } from "../identity/mutual-tls.ts";

const never = new AbortController().signal;

export interface HmacSpecimen {
  readonly open: () => Promise<OpenHmacKey>;
  /** The bytes of the key, where they are known: a real token may have made it by itself. */
  readonly bytes?: Buffer;
}

/** What every symmetric key promises. Call it inside a `describe`; the key of each test may be the same. */
export function describeHmacKeyContract(prepare: () => Promise<HmacSpecimen>): void {
  test("contract: short and long data is signed with 32 bytes of HMAC-SHA256, and always the same", async () => {
    const { open, bytes } = await prepare();
    const { key } = await open();
    for (const data of [Buffer.of(0), Buffer.from("data"), Buffer.alloc(5000, 7)]) {
      const signature = Buffer.from(await key.hmac(data, never));
      expect(signature).toHaveLength(32);
      expect(Buffer.from(await key.hmac(data, never))).toEqual(signature);
      const expected = bytes === undefined ? signature : createHmac("sha256", bytes).update(data).digest();
      expect(signature).toEqual(expected);
    }
    const other = Buffer.from(await key.hmac(Buffer.from("Data"), never));
    expect(other).not.toEqual(Buffer.from(await key.hmac(Buffer.from("data"), never)));
  });

  test("contract: opened twice it is the same credential, and both keep signing", async () => {
    const { open } = await prepare();
    const [first, second] = [await open(), await open()];
    expect(first.credentialDigest).toMatch(/^[0-9a-f]{64}$/);
    expect(second.credentialDigest).toBe(first.credentialDigest);
    const data = Buffer.from("data");
    expect(await second.key.hmac(data, never)).toEqual(await first.key.hmac(data, never));
  });

  test("contract: it says where it lives and shows nothing of itself", async () => {
    const { open, bytes } = await prepare();
    const opened = await open();
    expect(opened.custody).not.toBe("");
    const shown = inspect(opened, { depth: 9, showHidden: true }) + JSON.stringify(opened);
    for (const spelling of ["hex", "base64"] as const)
      expect(shown).not.toContain(bytes?.toString(spelling) ?? "no such text");
  });
}

export interface TlsKeySpecimen {
  readonly open: () => Promise<TlsIdentityKey>;
  /** PEM; made for the key. */
  readonly certificate: string;
}

/** What every private key promises. Call it inside a `describe`; the key of each test may be the same. */
export function describeTlsKeyContract(prepare: () => Promise<TlsKeySpecimen>): void {
  test.each(["TLSv1.2", "TLSv1.3"] as const)(
    "contract: a server verifies the client by it over %s, again and again",
    async (version) => {
      const { open, certificate } = await prepare();
      await using server = await startMutualTls([certificate]);
      using key = await open();
      const { cert, tlsKey } = { cert: certificate, tlsKey: key.tlsKey.reveal() };
      for (let round = 0; round < 3; round++) {
        const options = { cert, key: tlsKey, minVersion: version, maxVersion: version };
        expect(await server.handshake(options)).toMatchObject({ status: "accepted", protocol: version });
        expect(key.failure).toBeUndefined();
      }
    },
  );

  test("contract: its public half is the one in the certificate", async () => {
    const { open, certificate } = await prepare();
    using key = await open();
    const expected = new X509Certificate(certificate).publicKey.export({ type: "spki", format: "der" });
    expect(Buffer.from(key.publicKey)).toEqual(expected);
  });

  test("contract: closing one handle leaves another one of the same key alone", async () => {
    const { open, certificate } = await prepare();
    await using server = await startMutualTls([certificate]);
    using kept = await open();
    (await open())[Symbol.dispose]();
    const result = await server.handshake({ cert: certificate, key: kept.tlsKey.reveal() });
    expect(result).toMatchObject({ status: "accepted" });
  });

  test("contract: it says where it lives and shows nothing of itself", async () => {
    const { open } = await prepare();
    using key = await open();
    expect(key.custody).not.toBe("");
    const shown = inspect(key, { depth: 9, showHidden: true }) + JSON.stringify(key);
    expect(shown).not.toContain("PRIVATE KEY");
    expect(shown).not.toContain(key.tlsKey.reveal());
  });
}
