import { createHmac, randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TpmCredential } from "../../src/identity/identity.ts";
import { parseAuthenticationKey } from "../../src/identity/tpm/authentication-key.ts";
import { TpmDevice } from "../../src/identity/tpm/tpm-device.ts";
import { wrap } from "../cloud/dps-tpm.ts";
import { parseFields } from "../cloud/test-tpm-blob.ts";
import genuine from "../cloud/tpm-genuine.json" with { type: "json" };
import { failureOf } from "../failure-of.ts";
import { SoftTpm } from "./soft-tpm.ts";

const never = new AbortController().signal;
const secret = randomBytes(32);
let soft: SoftTpm;
let tpm: TpmCredential;
let blob: Buffer;

async function openCredential(of: SoftTpm): Promise<TpmCredential> {
  return (await new TpmDevice(of.open()).open(never)).credential;
}

beforeAll(async () => {
  soft = await SoftTpm.start();
  tpm = await openCredential(soft);
  blob = Buffer.from(wrap(tpm, secret.toString("base64")), "base64");
});
afterAll(async () => soft[Symbol.asyncDispose]());

async function takeIn(bytes: Buffer, into = tpm) {
  return into.takeIn(bytes.toString("base64"), never);
}

/** Whether the key that was taken in signs as the service's own does. */
async function signsAlike(bytes: Buffer): Promise<boolean> {
  const data = randomBytes(70);
  const hmac = await tpm.keyOf(await takeIn(bytes)).hmac(data, never);
  return createHmac("sha256", secret).update(data).digest().equals(hmac);
}

/** Where a field begins. */
function startOf(field: number): number {
  return parseFields(blob)
    .slice(0, field)
    .reduce((sum, { length }) => sum + length, 0);
}

function changed(at: number, ...bytes: readonly number[]): Buffer {
  const copy = Buffer.from(blob);
  copy.set(bytes, at);
  return copy;
}

function flipped(at: number): Buffer {
  return changed(at, (blob[at] ?? 0) ^ 1);
}

describe("the key that a service wrapped", () => {
  test("is read from the two answers of the real service that are known", () => {
    for (const text of genuine.authenticationKeys) {
      const { credential, duplicate, seed, publicArea } = parseAuthenticationKey(text);
      const lengths = [credential, duplicate, seed, publicArea].map(({ length }) => length);
      expect(lengths).toEqual([8 + 54 + 258, 144, 258, 50]);
    }
  });

  test("signs as the service does, of every length that a TPM takes", async () => {
    expect(await signsAlike(blob)).toBe(true);
    for (const bytes of [16, 64]) {
      const key = randomBytes(bytes);
      const wrapped = await tpm.takeIn(wrap(tpm, key.toString("base64")), never);
      const data = randomBytes(3000);
      const hmac = await tpm.keyOf(wrapped).hmac(data, never);
      expect(createHmac("sha256", key).update(data).digest().equals(hmac)).toBe(true);
    }
  });

  test("may lack what follows the five structures, or have more of it", async () => {
    const five = blob.subarray(0, startOf(5));
    expect(await signsAlike(five)).toBe(true);
    expect(await signsAlike(Buffer.concat([blob, Buffer.from("more")]))).toBe(true);
  });
});

describe("a key that was tampered with is refused unread", () => {
  const unreadable: readonly (readonly [what: string, make: () => Buffer])[] = [
    ["nothing", () => Buffer.alloc(0)],
    ["one byte", () => blob.subarray(0, 1)],
    ["cut within the first structure", () => blob.subarray(0, 20)],
    ["cut within the fourth structure", () => blob.subarray(0, startOf(4) - 1)],
    ["cut behind the fourth structure", () => blob.subarray(0, startOf(4))],
    ["a length that points behind the end", () => changed(startOf(4), 0xff, 0xff)],
    ["a length of zero", () => changed(startOf(2), 0, 0)],
    ["a digest of another length in the first structure", () => changed(2, 0, 20)],
    ["a digest of another length in the third structure", () => changed(startOf(2) + 2, 0xff, 0xff)],
    ["an RSA key", () => changed(startOf(4) + 2, 0x00, 0x01)],
    ["a key named by SHA-1", () => changed(startOf(4) + 4, 0x00, 0x04)],
    ["a key that may not sign", () => changed(startOf(4) + 6, 0, 0, 0, 0)],
  ];
  test.each(unreadable)("%s", async (_, make) => {
    expect(await failureOf(takeIn(make()))).toMatchObject({
      code: "identity/tpm-blob-malformed",
      remedy: "retry",
    });
  });

  test("what is no base64", async () => {
    const text = blob.toString("base64");
    for (const bad of [`${text}!`, text.replace(/=*$/, ""), text.replaceAll("+", "-"), "-----BEGIN"])
      expect((await failureOf(tpm.takeIn(bad, never))).code).toBe("identity/tpm-blob-malformed");
  });
});

/** What a refusal must not leave behind, and that the TPM is none the worse for it. */
async function state() {
  const handles = ["transient", "loaded-session", "saved-session"].map(async (kind) => soft.handles(kind));
  return {
    files: soft.leftovers(),
    handles: (await Promise.all(handles)).flat(),
    signs: await signsAlike(blob),
  };
}

const unharmed = { files: [], handles: [], signs: true };

describe("a key that was tampered with is refused by the TPM", () => {
  const bits: readonly (readonly [what: string, code: string, at: () => number])[] = [
    ["the digest of the identity", "identity/tpm-blob-foreign", () => 4],
    ["the encrypted identity", "identity/tpm-blob-foreign", () => startOf(1) - 1],
    ["the seed for the endorsement key", "identity/tpm-blob-foreign", () => startOf(2) - 1],
    ["the digest of the key", "identity/tpm-blob-damaged", () => startOf(2) + 4],
    ["the encrypted key", "identity/tpm-blob-damaged", () => startOf(3) - 1],
    ["the seed for the storage root key", "identity/tpm-blob-damaged", () => startOf(4) - 1],
    ["the public digest", "identity/tpm-blob-damaged", () => startOf(5) - 1],
  ];
  test.each(bits)("one bit flipped in %s is %s", async (_, code, at) => {
    const failure = await failureOf(takeIn(flipped(at())));
    expect(failure).toMatchObject({ code });
    expect(failure.message).not.toMatch(/[A-Za-z0-9+/]{40}/);
    expect(await state()).toEqual(unharmed);
  });

  test("a key that is longer than a TPM takes", async () => {
    const tooLong = wrap(tpm, randomBytes(65).toString("base64"));
    expect((await failureOf(tpm.takeIn(tooLong, never))).code).toBe("identity/tpm-blob-damaged");
    expect(await state()).toEqual(unharmed);
  });

  test("a key for another TPM, or for another of its two keys, is an operator's matter", async () => {
    await using stranger = await SoftTpm.start();
    const other = await openCredential(stranger);
    const { endorsementKey, storageRootKey } = tpm;
    for (const keys of [
      other,
      { endorsementKey, storageRootKey: other.storageRootKey },
      { endorsementKey: other.endorsementKey, storageRootKey },
    ]) {
      const foreign = wrap(keys, secret.toString("base64"));
      expect(await failureOf(tpm.takeIn(foreign, never))).toMatchObject({
        code: "identity/tpm-blob-foreign",
        remedy: "operator",
      });
    }
    expect(await state()).toEqual(unharmed);
  });
});
