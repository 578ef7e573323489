import { expect, test } from "vitest";
import { explainTpm2Uri, parseTpm2Uri } from "../../src/config/tpm2-uri.ts";

test.each([
  ["tpm2:handle=0x81800001", "a handle that the owner of a TPM cannot give"],
  ["tpm2:handle=0x40000001", "a handle that the owner of a TPM cannot give"],
  ["tpm2:handle=81000201", "a handle that the owner of a TPM cannot give"],
  ["tpm2:handle=", "a handle that the owner of a TPM cannot give"],
  ["tpm2:slot=3", "something else behind the colon"],
  ["tpm2:public=device.pub", "something else behind the colon"],
  ["tpm2:private=device.priv&public=device.pub", "something else behind the colon"],
  ["tpm2:public=keys/device.pub&private=device.priv", "something else behind the colon"],
  ["tpm2:public=/etc/../device.pub&private=device.priv", "something else behind the colon"],
])("%s names no key, and it is said why", (text, found) => {
  expect(parseTpm2Uri(text)).toBeUndefined();
  const { found: said, fix } = explainTpm2Uri(text);
  expect(said).toContain(found);
  expect(fix).toContain('"tpm2:handle=0x81000201"');
});

test("the key that DPS gives, a key at a handle and a key in files are told apart", () => {
  expect(parseTpm2Uri("tpm2:")).toEqual({ scheme: "tpm2" });
  expect(parseTpm2Uri("tpm2:handle=0x810002AB")).toEqual({
    scheme: "tpm2-key",
    place: { kind: "handle", handle: "0x810002ab" },
  });
  expect(parseTpm2Uri("tpm2:public=device.pub&private=/srv/device.priv")).toEqual({
    scheme: "tpm2-key",
    place: { kind: "files", public: "device.pub", private: "/srv/device.priv" },
  });
});
