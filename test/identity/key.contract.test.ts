import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe } from "vitest";
import { openKeyFile } from "../../src/identity/key-file.ts";
import { openTokenSecret, openTokenTlsKey } from "../../src/identity/pkcs11/open-token-key.ts";
import { Pkcs11Tokens } from "../../src/identity/pkcs11/tokens.ts";
import { openPrivateKeyFile } from "../../src/identity/private-key-file.ts";
import { describeHmacKeyContract, describeTlsKeyContract } from "../contract/key.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";
import { createClientCredential } from "./client-credential.ts";
import { SoftHsm } from "./soft-hsm.ts";
import { tokenLocation } from "./token-location.ts";

const secret = randomBytes(32);
let folder: TemporaryFolder;
let hsm: SoftHsm;
let tokens: Pkcs11Tokens;

beforeAll(() => {
  folder = new TemporaryFolder();
  hsm = new SoftHsm();
  hsm.addSecret(secret, { label: "hmac", id: "01" });
  tokens = new Pkcs11Tokens();
});
afterAll(() => {
  tokens[Symbol.dispose]();
  hsm[Symbol.dispose]();
  folder[Symbol.dispose]();
});

describe("a symmetric key in a file", () => {
  describeHmacKeyContract(async () => {
    const path = folder.join("key");
    writeFileSync(path, secret.toString("base64"), { mode: 0o600 });
    return { open: async () => openKeyFile([{ path, isCredential: false }]), bytes: secret };
  });
});

describe("a symmetric key in SoftHSM", () => {
  describeHmacKeyContract(async () => {
    const at = tokenLocation(hsm.uri("object=hmac"));
    return { open: async () => openTokenSecret(tokens, at), bytes: secret };
  });
});

describe.each(["RSA-2048", "P-256", "P-384"] as const)("a private %s key", (kind) => {
  const made = createClientCredential(kind);
  const pem = async () => (await made).privateKey.export({ type: "pkcs8", format: "pem" }).toString();

  describe("in a file", () => {
    describeTlsKeyContract(async () => {
      const path = folder.join(kind);
      writeFileSync(path, await pem(), { mode: 0o600 });
      const open = async () => openPrivateKeyFile([{ path, isCredential: false }]);
      return { open, certificate: (await made).certPem };
    });
  });

  describe("in SoftHSM", () => {
    beforeAll(async () => {
      hsm.addKeyPair(await pem(), { label: kind, id: Buffer.from(kind).toString("hex") });
    });
    describeTlsKeyContract(async () => {
      const { publicKey, certPem } = await made;
      const at = tokenLocation(hsm.uri(`object=${kind}`));
      return { open: async () => openTokenTlsKey(tokens, at, publicKey), certificate: certPem };
    });
  });
});
