import { createHmac } from "node:crypto";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { deriveDeviceKey } from "../../src/identity/derive-key.ts";
import type { Key } from "../../src/identity/identity.ts";
import { sharedAccessSignature } from "../../src/identity/sas.ts";
import { Secret } from "../../src/platform/secret.ts";

const never = new AbortController().signal;
const secret = Buffer.from("0123456789abcdef0123456789abcdef");
const key: Key = { hmac: async (data) => createHmac("sha256", secret).update(data).digest() };

/** Reads a token as a server does: the literal texts of its fields. */
function fieldsOf(token: string): ReadonlyMap<string, string> {
  const [scheme, query = ""] = token.split(" ");
  expect(scheme).toBe("SharedAccessSignature");
  return new Map(
    query.split("&").map((pair) => {
      const at = pair.indexOf("=");
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

test("the signature covers the literal resource, a line feed and the literal expiry, for any resource", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.string({ unit: "grapheme", minLength: 1, maxLength: 60 }),
      fc.integer({ min: 1_000, max: 4_102_444_800_000 }),
      async (resource, expiresAtMs) => {
        const fields = fieldsOf(
          (await sharedAccessSignature(key, resource, expiresAtMs, undefined, never)).reveal(),
        );
        const [sr, se, sig] = ["sr", "se", "sig"].map((name) => fields.get(name) ?? "");
        expect(decodeURIComponent(sr ?? "")).toBe(resource);
        expect(se).toBe(String(Math.floor(expiresAtMs / 1000)));
        const expected = createHmac("sha256", secret).update(`${sr}\n${se}`).digest("base64");
        expect(decodeURIComponent(sig ?? "")).toBe(expected);
        expect(sig).not.toMatch(/[+/=]/);
        expect(fields.has("skn")).toBe(false);
      },
    ),
  );
});

test("slashes of the resource are encoded, and DPS gets its policy name", async () => {
  const token = await sharedAccessSignature(
    key,
    "0ne1/registrations/gw-1",
    1_700_000_000_999,
    "registration",
    never,
  );
  expect(token.reveal()).toMatch(
    /^SharedAccessSignature sr=0ne1%2Fregistrations%2Fgw-1&sig=[^&]+&se=1700000000&skn=registration$/,
  );
});

test("a token does not show itself, and a key that fails fails the token", async () => {
  const token = await sharedAccessSignature(key, "r", 1, undefined, never);
  expect(String(token)).toBe("[redacted]");
  const reason = new Error("token removed");
  const broken: Key = { hmac: async () => Promise.reject(reason) };
  await expect(sharedAccessSignature(broken, "r", 1, undefined, never)).rejects.toBe(reason);
});

test("the key of a group member is the documented one", () => {
  const group = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==";
  const derived = deriveDeviceKey(
    new Secret(Buffer.from(group, "base64")),
    "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6",
  );
  expect(derived.reveal()).toBe("Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc=");
});
