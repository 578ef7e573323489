import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { chmodSync, writeFileSync } from "node:fs";
import { inspect } from "node:util";
import { expect, test } from "vitest";
import { readCertificateFile } from "../../src/identity/certificate-file.ts";
import { openKeyFile } from "../../src/identity/key-file.ts";
import { openPrivateKeyFile } from "../../src/identity/private-key-file.ts";
import { failureOf } from "../failure-of.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";

const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
const pkcs8 = ec.export({ type: "pkcs8", format: "pem" }).toString();

function place(folder: TemporaryFolder, content: string, mode = 0o600) {
  const path = folder.join("device.key");
  writeFileSync(path, content);
  chmodSync(path, mode);
  return [{ path, isCredential: false }] as const;
}

test.each([
  [
    "an encrypted PKCS#8 key",
    ec.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "secret" }).toString(),
    "identity/key-encrypted",
    "openssl pkey -in",
  ],
  [
    "an encrypted key of the old kind",
    ec.export({ type: "sec1", format: "pem", cipher: "aes-256-cbc", passphrase: "secret" }).toString(),
    "identity/key-encrypted",
    "nobody to ask for the passphrase",
  ],
  ["a damaged key", pkcs8.replace(/\n.{20}/, "\n"), "identity/key-malformed", "damaged"],
  ["a symmetric key", Buffer.alloc(32).toString("base64"), "identity/key-malformed", "no private key in PEM"],
  [
    "a public key",
    createPublicKey(ec).export({ type: "spki", format: "pem" }).toString(),
    "identity/key-malformed",
    "no private key in PEM",
  ],
  ["nothing", "", "identity/key-malformed", "no private key in PEM"],
])("%s beside a certificate is refused, with the way out", async (_, content, code, words) => {
  using folder = new TemporaryFolder();
  const error = await failureOf(openPrivateKeyFile(place(folder, content)));
  expect(error).toMatchObject({ code, remedy: "operator" });
  expect(error.message).toContain(words);
  expect(error.message).toContain(folder.join("device.key"));
});

test("a private key that others can read is refused", async () => {
  using folder = new TemporaryFolder();
  expect(await failureOf(openPrivateKeyFile(place(folder, pkcs8, 0o640)))).toMatchObject({
    code: "identity/key-file-too-open",
  });
});

test("a private key without a certificate in the configuration says what to add", async () => {
  using folder = new TemporaryFolder();
  const error = await failureOf(openKeyFile(place(folder, pkcs8)));
  expect(error).toMatchObject({ code: "identity/certificate-not-set", remedy: "operator" });
  expect(error.message).toContain('certificate = "file:device.pem"');
});

test.each([
  ["PKCS#8", ec, pkcs8],
  ["SEC 1", ec, ec.export({ type: "sec1", format: "pem" }).toString()],
  [
    "SEC 1 as openssl ecparam writes it",
    ec,
    `-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n${ec.export({ type: "sec1", format: "pem" }).toString()}`,
  ],
  ["PKCS#1", rsa, rsa.export({ type: "pkcs1", format: "pem" }).toString()],
  ["PKCS#8 with RSA", rsa, rsa.export({ type: "pkcs8", format: "pem" }).toString()],
])("a key in %s is opened, and prints no part of itself", async (_, key, content) => {
  using folder = new TemporaryFolder();
  using open = await openPrivateKeyFile(place(folder, content));
  const expected = createPublicKey(key).export({ type: "spki", format: "der" });
  expect(Buffer.from(open.publicKey).equals(expected)).toBe(true);
  expect(open.custody).toBe(`file ${folder.join("device.key")}`);
  expect(open.tlsKey.reveal()).toContain("PRIVATE KEY-----");
  expect(inspect(open) + JSON.stringify(open)).not.toContain("PRIVATE KEY");
});

test("a certificate file that is missing or a folder is told with its path", async () => {
  using folder = new TemporaryFolder();
  const missing = [
    { path: folder.join("credential"), isCredential: true },
    { path: folder.join("device.pem"), isCredential: false },
  ];
  const error = await failureOf(readCertificateFile(missing));
  expect(error).toMatchObject({ code: "identity/certificate-missing", remedy: "operator" });
  expect(error.message).toContain(
    `${folder.join("credential")} and ${folder.join("device.pem")} do not exist`,
  );
  expect(await failureOf(readCertificateFile([{ path: folder.path, isCredential: false }]))).toMatchObject({
    code: "identity/certificate-unreadable",
    message: expect.stringContaining("EISDIR") as unknown,
  });
});

test("the first certificate file that exists is read, whatever its mode", async () => {
  using folder = new TemporaryFolder();
  writeFileSync(folder.join("device.pem"), "pem", { mode: 0o644 });
  const locations = ["credential", "device.pem"].map((name) => ({
    path: folder.join(name),
    isCredential: false,
  }));
  expect(await readCertificateFile(locations)).toEqual({
    content: Buffer.from("pem"),
    where: folder.join("device.pem"),
  });
});
