import { generateKeyPairSync, randomBytes } from "node:crypto";
import { copyFileSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, afterEach, describe, expect, test } from "vitest";
import { openTokenSecret, openTokenTlsKey } from "../../src/identity/pkcs11/open-token-key.ts";
import { readTokenCertificate } from "../../src/identity/pkcs11/token-certificate.ts";
import { Pkcs11Tokens } from "../../src/identity/pkcs11/tokens.ts";
import { failureOf } from "../failure-of.ts";
import { LoginCounter } from "./login-counter.ts";
import { SoftHsm, softHsmModule } from "./soft-hsm.ts";
import { tokenLocation } from "./token-location.ts";

const never = new AbortController().signal;
const hmac = { label: "hmac", id: "01" };

let hsm: SoftHsm;
let tokens: Pkcs11Tokens;

beforeEach(() => {
  hsm = new SoftHsm();
  tokens = new Pkcs11Tokens();
});
afterEach(() => {
  tokens[Symbol.dispose]();
  hsm[Symbol.dispose]();
});

const open = async (uri: string = hsm.uri("object=hmac")) => openTokenSecret(tokens, tokenLocation(uri));

describe("what is not found is told with what was found instead, and the command that mends it", () => {
  test("a module that does not exist", async () => {
    const error = await failureOf(open(hsm.uri("object=hmac", "/usr/lib/hsm/missing.so")));
    expect(error).toMatchObject({ code: "identity/pkcs11-module-missing", remedy: "operator" });
    expect(error.message).toContain("/usr/lib/hsm/missing.so: cannot open shared object file");
    expect(error.message).toMatch(/Modules on this machine: .*libsofthsm2\.so.*module-path/);
  });

  test("a file that is no module", async () => {
    const path = join(hsm.folder, "module.so");
    writeFileSync(path, "no library");
    const error = await failureOf(open(hsm.uri("object=hmac", path)));
    expect(error.code).toBe("identity/pkcs11-module-missing");
  });

  test("a token with another label: the labels and serial numbers there are", async () => {
    const error = await failureOf(open(hsm.uri("object=hmac").replace("token=gateway", "token=gatewy")));
    expect(error).toMatchObject({ code: "identity/token-missing", remedy: "operator" });
    expect(error.message).toMatch(/no token label "gatewy".*Tokens found: "gateway" \(serial [0-9a-f]{16}\)/);
    expect(error.message).toContain(`pkcs11-tool --module ${softHsmModule} --list-token-slots`);
  });

  test("two tokens with the same label", async () => {
    hsm.addToken("gateway", "1234");
    const error = await failureOf(open());
    expect(error).toMatchObject({ code: "identity/token-ambiguous", remedy: "operator" });
    expect(error.message).toMatch(/\(serial .*\(serial .*Add serial=/);
    const serial = /serial ([0-9a-f]{16})/.exec(error.message)?.[1] ?? "";
    const uri = hsm.uri("object=hmac").replace("token=gateway", `token=gateway;serial=${serial}`);
    expect((await failureOf(open(uri))).code).toBe("identity/token-key-missing");
  });

  test("a key with another name: the objects there are", async () => {
    hsm.addSecret(randomBytes(32), { label: "hmca", id: "0a" });
    const error = await failureOf(open());
    expect(error).toMatchObject({ code: "identity/token-key-missing", remedy: "operator" });
    expect(error.message).toMatch(/with the label "hmac".*Objects found: secret key "hmca" \(id 0a\)/);
    expect(error.message).toMatch(/--keypairgen/);
  });

  test("two keys with the same label: the ID tells them apart", async () => {
    hsm.addSecret(randomBytes(32), hmac);
    hsm.addSecret(randomBytes(32), { label: "hmac", id: "02" });
    const error = await failureOf(open());
    expect(error).toMatchObject({ code: "identity/token-key-ambiguous", remedy: "operator" });
    expect(error.message).toMatch(/"hmac" \(id 0\d\).*"hmac" \(id 0\d\).*Add id=/);
    await expect(open(hsm.uri("object=hmac;id=%02"))).resolves.toHaveProperty("credentialDigest");
  });

  test("no certificate of that name", async () => {
    const error = await failureOf(readTokenCertificate(tokens, tokenLocation(hsm.uri("object=device"))));
    expect(error).toMatchObject({ code: "identity/token-certificate-missing", remedy: "operator" });
    expect(error.message).toMatch(/Objects found: none.*--write-object device\.der --type cert/);
  });
});

describe("a key of the wrong sort", () => {
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const publicKey = (key: typeof pair) => key.publicKey.export({ type: "spki", format: "der" });

  test("a private key without a certificate says that one has to be configured", async () => {
    hsm.addKeyPair(pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString(), {
      label: "device",
      id: "02",
    });
    const error = await failureOf(open(hsm.uri("object=device")));
    expect(error).toMatchObject({ code: "identity/certificate-not-set", remedy: "operator" });
  });

  test("a secret key cannot serve for a certificate", async () => {
    hsm.addSecret(randomBytes(32), hmac);
    const opening = openTokenTlsKey(tokens, tokenLocation(hsm.uri("object=hmac")), publicKey(pair));
    expect(await failureOf(opening)).toMatchObject({ code: "identity/token-key-unfit", remedy: "operator" });
  });

  test("a private key alone in its token that does not fit the certificate", async () => {
    hsm.addPrivateKey(pair.privateKey.export({ type: "sec1", format: "der" }), { label: "device", id: "02" });
    const other = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const opening = openTokenTlsKey(tokens, tokenLocation(hsm.uri("object=device")), publicKey(other));
    expect(await failureOf(opening)).toMatchObject({
      code: "identity/certificate-key-mismatch",
      remedy: "operator",
    });
  });
});

test("a key that could be copied is used, with warnings", async () => {
  hsm.addSecret(randomBytes(32), hmac, "open");
  const { warnings } = await open();
  expect(warnings).toEqual([
    expect.stringMatching(/can be copied out of it \(CKA_EXTRACTABLE\)/),
    expect.stringMatching(/can be read in plain text/),
  ]);
});

describe("the PIN", () => {
  beforeEach(() => {
    hsm.addSecret(randomBytes(32), hmac);
  });

  test("is asked for by name where the URI names none", async () => {
    const error = await failureOf(open(hsm.uri("object=hmac").replace(/&pin-source=.*/, "")));
    expect(error).toMatchObject({ code: "identity/pin-not-named", remedy: "operator" });
  });

  test.each([
    ["no file", () => rmSync(hsm.pinFile), "identity/pin-file-missing", /does not exist/],
    [
      "a file that others read",
      () => hsm.writePin("1234", 0o644),
      "identity/pin-file-unusable",
      /chmod 0600/,
    ],
    ["an empty file", () => hsm.writePin(""), "identity/pin-file-unusable", /it is empty/],
    ["two lines", () => hsm.writePin("1234\n1234"), "identity/pin-file-unusable", /more than one line/],
  ])("%s is refused without a try", async (_, prepare, code, says) => {
    using counter = new LoginCounter();
    prepare();
    const error = await failureOf(open(hsm.uri("object=hmac", counter.module)));
    expect(error).toMatchObject({ code, remedy: "operator" });
    expect(error.message).toMatch(says);
    expect(error.message).not.toContain("1234");
    expect(counter.logins()).toEqual([]);
  });

  test("is tried once if it is wrong, however often the agent comes back, and again when the file has another", async () => {
    using counter = new LoginCounter();
    const uri = hsm.uri("object=hmac", counter.module);
    hsm.writePin("9999");
    const error = await failureOf(open(uri));
    expect(error).toMatchObject({ code: "identity/pin-rejected", remedy: "operator" });
    expect(error.message).toMatch(/CKR_PIN_INCORRECT.*not tried again/);
    expect(error.message).not.toContain("9999");
    for (let round = 0; round < 5; round++) expect((await failureOf(open(uri))).code).toBe(error.code);
    expect(counter.logins()).toEqual(["CKR_PIN_INCORRECT"]);

    hsm.writePin("1234");
    await open(uri);
    expect(counter.logins()).toEqual(["CKR_PIN_INCORRECT", "CKR_OK"]);
  });

  test("that was refused is tried once more after a reload", async () => {
    using counter = new LoginCounter();
    const uri = hsm.uri("object=hmac", counter.module);
    hsm.writePin("4321");
    await failureOf(open(uri));
    hsm.changePin("1234", "4321");
    await failureOf(open(uri));
    tokens.forgetRefusedPins();
    await open(uri);
    expect(counter.logins()).toEqual(["CKR_PIN_INCORRECT", "CKR_OK"]);
  });

  test("is given once for any number of steps, and not read again", async () => {
    using counter = new LoginCounter();
    const uri = hsm.uri("object=hmac", counter.module);
    await open(uri);
    rmSync(hsm.pinFile);
    for (let step = 0; step < 5; step++) await open(uri);
    expect(counter.logins()).toEqual(["CKR_OK"]);
  });
});

describe("a token that goes away and comes back", () => {
  beforeEach(() => {
    hsm.addSecret(randomBytes(32), hmac);
  });

  test("fails with the name of the token's error while it is out, and heals when it is in again", async () => {
    const before = await open();
    hsm.unplug();
    const signing = await failureOf(before.key.hmac(Buffer.from("data"), never));
    expect(signing).toMatchObject({ code: "identity/token-failed", remedy: "retry" });
    expect(signing.message).toContain("C_SignInit: CKR_OBJECT_HANDLE_INVALID");
    const opening = await failureOf(open());
    expect(opening.code).toBe("identity/token-missing");
    expect(opening.message).toMatch(/Tokens found: none.*before that.*CKR_OBJECT_HANDLE_INVALID/);
    expect((await failureOf(before.key.hmac(Buffer.from("data"), never))).message).toContain("is closed");

    hsm.plugIn();
    const after = await open();
    expect(after.credentialDigest).toBe(before.credentialDigest);
  });

  test("unnoticed, costs one more login and nothing else", async () => {
    using counter = new LoginCounter();
    const uri = hsm.uri("object=hmac", counter.module);
    await open(uri);
    hsm.unplug();
    await failureOf(open(uri));
    hsm.plugIn();
    await open(uri);
    expect(counter.logins()).toEqual(["CKR_OK", "CKR_OK"]);
  });

  test("made anew with another PIN: one refused try, then the new PIN and the new key serve", async () => {
    using counter = new LoginCounter();
    const uri = hsm.uri("object=hmac", counter.module);
    const before = await open(uri);
    hsm.makeAnew("gateway", "1234");
    hsm.addSecret(randomBytes(32), hmac);
    hsm.changePin("1234", "5678");
    expect((await failureOf(open(uri))).code).toBe("identity/pin-rejected");
    expect((await failureOf(open(uri))).code).toBe("identity/pin-rejected");
    hsm.writePin("5678");
    expect((await open(uri)).credentialDigest).not.toBe(before.credentialDigest);
    expect(counter.logins()).toEqual(["CKR_OK", "CKR_PIN_INCORRECT", "CKR_OK"]);
  });

  test("a PIN that is changed under way disturbs no open session", async () => {
    await open();
    hsm.changePin("1234", "5678");
    await expect(open()).resolves.toHaveProperty("key");
  });
});

test("a module that comes only after the start, and is exchanged later, is loaded when it is there", async () => {
  hsm.addSecret(randomBytes(32), hmac);
  const module = join(hsm.folder, "module.so");
  const uri = hsm.uri("object=hmac", module);
  expect((await failureOf(open(uri))).code).toBe("identity/pkcs11-module-missing");
  copyFileSync(softHsmModule, module);
  const { credentialDigest } = await open(uri);

  // While a package is unpacked the file may be away: the one in memory serves.
  renameSync(module, `${module}.old`);
  expect((await open(uri)).credentialDigest).toBe(credentialDigest);
  expect(mapped(module)).toEqual([`${module}.old`]);

  copyFileSync(softHsmModule, `${module}.new`);
  renameSync(`${module}.new`, module);
  expect((await open(uri)).credentialDigest).toBe(credentialDigest);
  expect(mapped(module)).toEqual([module]);
  hsm.unplug();
  await failureOf(open(uri));
  hsm.plugIn();
  expect((await open(uri)).credentialDigest).toBe(credentialDigest);
});

/** The files of this name, with whatever ending, that are loaded into this process. */
function mapped(path: string): readonly string[] {
  const files = readFileSync("/proc/self/maps", "utf8").matchAll(/\S+$/gm);
  return [...new Set([...files].map(([file]) => file).filter((file) => file.startsWith(path)))];
}
