import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { describe } from "vitest";
import { openHmacKey, openTlsKey } from "../../src/identity/open.ts";
import { Pkcs11Tokens } from "../../src/identity/pkcs11/tokens.ts";
import { describeHmacKeyContract, describeTlsKeyContract } from "../contract/key.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";
import { selfSigned, type KeyKind } from "./device-pki.ts";
import { noTpm } from "./no-tpm.ts";
import { SoftHsm } from "./soft-hsm.ts";
import { tokenLocation } from "./token-location.ts";

const kinds: readonly KeyKind[] = ["RSA-2048", "P-256", "P-384"];
const device = { label: "device", id: "01" };

/** A key file in a folder of its own, and what the configuration makes of it. */
function keyFile(content: string) {
  const folder = new TemporaryFolder();
  const path = folder.join("device.key");
  writeFileSync(path, content, { mode: 0o600 });
  return { folder, at: { scheme: "file", locations: [{ path, isCredential: false }] } } as const;
}

/** A token in a drawer of its own. */
function token() {
  const resources = new DisposableStack();
  const hsm = resources.use(new SoftHsm());
  const tokens = resources.use(new Pkcs11Tokens());
  return { hsm, tokens, at: tokenLocation(hsm.uri("object=device")), resources };
}

describe("a symmetric key in a file", () => {
  describeHmacKeyContract(async () => {
    const secret = randomBytes(32);
    const { folder, at } = keyFile(secret.toString("base64"));
    const open = async () => openHmacKey(at, new Pkcs11Tokens());
    return { secret, open, [Symbol.dispose]: () => folder[Symbol.dispose]() };
  });
});

describe("a symmetric key in SoftHSM", () => {
  describeHmacKeyContract(async () => {
    const secret = randomBytes(32);
    const { hsm, tokens, at, resources } = token();
    hsm.addSecret(secret, device);
    return { secret, open: async () => openHmacKey(at, tokens), [Symbol.dispose]: () => resources.dispose() };
  });
});

describe.each(kinds)("a %s key in a file", (kind) => {
  describeTlsKeyContract(async () => {
    const { certPem, key, keyPem } = await selfSigned("gw-7", { kind });
    const { folder, at } = keyFile(keyPem);
    const open = async () => openTlsKey(at, undefined, { tokens: new Pkcs11Tokens(), tpm: noTpm });
    const privateKey = key.export({ type: "pkcs8", format: "der" });
    return { certPem, privateKey, open, [Symbol.dispose]: () => folder[Symbol.dispose]() };
  });
});

describe.each(kinds)("a %s key in SoftHSM", (kind) => {
  describeTlsKeyContract(async () => {
    const { certPem, key, keyPem } = await selfSigned("gw-7", { kind });
    const { hsm, tokens, at, resources } = token();
    hsm.addKeyPair(keyPem, device);
    const open = async () => openTlsKey(at, undefined, { tokens, tpm: noTpm });
    const privateKey = key.export({ type: "pkcs8", format: "der" });
    return { certPem, privateKey, open, [Symbol.dispose]: () => resources.dispose() };
  });
});
