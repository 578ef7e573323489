import { execFile } from "node:child_process";
import { createPublicKey } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { certificationRequest } from "../../src/identity/certification-request.ts";
import { openTpmTlsKey } from "../../src/identity/tpm-key/open-tpm-tls-key.ts";
import { failureOf } from "../failure-of.ts";
import { startMutualTls } from "./mutual-tls.ts";
import { SoftTpm } from "./soft-tpm.ts";
import { makeKeyAtHandle, makeKeyFiles, selfSignedBy, signs } from "./tpm-tls-keys.ts";

let soft: SoftTpm;

beforeEach(async () => {
  soft = await SoftTpm.start();
});
afterEach(async () => soft[Symbol.asyncDispose]());

/** Spends the only try that is left, on a key that somebody else has in the TPM. */
async function lockOut(): Promise<void> {
  await soft.tool("dictionarylockout", "-s", "-n", "1", "-t", "1000", "-l", "1000");
  const files = ["-u", "other.pub", "-r", "other.priv"];
  await soft.tool("create", "-Q", "-C", "0x81000001", "-G", "ecc256", "-p", "password", ...files);
  await soft.tool("load", "-Q", "-C", "0x81000001", ...files, "-c", "other.ctx");
  const guess = soft.tool("sign", "-c", "other.ctx", "-p", "guess", "-o", "other.sig", "device.pub");
  await expect(guess).rejects.toThrow("0x98E");
  await soft.tool("flushcontext", "-t");
  expect(await soft.tool("getcap", "properties-variable")).toMatch(/inLockout:\s+1/);
}

const handle = { kind: "handle", handle: "0x81000201" } as const;

describe("a private key of a TPM that cannot be used", () => {
  test("is not there", async () => {
    const failure = await failureOf(openTpmTlsKey(soft.open(), handle));
    expect(failure).toMatchObject({ code: "identity/tpm-key-missing", remedy: "operator" });
    expect(failure.message).toContain("0x81000201");
  });

  test("is no key for signatures, or for TPM-made data alone", async () => {
    const storage = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt";
    await makeKeyAtHandle(soft, "RSA-2048", { algorithm: "rsa2048:aes128cfb", attributes: storage });
    expect((await failureOf(openTpmTlsKey(soft.open(), handle))).code).toBe("identity/tpm-key-unfit");
    const attestation = { algorithm: "ecc256:ecdsa-sha256:null", attributes: `${signs}|restricted` };
    await makeKeyAtHandle(soft, "P-256", attestation);
    const failure = await failureOf(openTpmTlsKey(soft.open(), handle));
    expect(failure).toMatchObject({ code: "identity/tpm-key-unfit", remedy: "operator" });
    expect(failure.message).toContain("without restricted");
  });

  test("is bound to one kind of RSA signature", async () => {
    await makeKeyAtHandle(soft, "RSA-2048", { algorithm: "rsa2048:rsapss-sha256:null", attributes: signs });
    const failure = await failureOf(openTpmTlsKey(soft.open(), handle));
    expect(failure.code).toBe("identity/tpm-key-unfit");
    expect(failure.message).toContain("one kind of RSA signature");
  });

  test("is an HMAC key", async () => {
    await makeKeyAtHandle(soft, "P-256", { algorithm: "hmac" });
    expect((await failureOf(openTpmTlsKey(soft.open(), handle))).code).toBe("identity/tpm-key-unfit");
  });

  test("was made in another TPM, or in this one before it was cleared", async () => {
    const at = await makeKeyFiles(soft, "P-256");
    await using other = await SoftTpm.start();
    await makeKeyFiles(other, "P-256");
    const failure = await failureOf(openTpmTlsKey(other.open(), at));
    expect(failure).toMatchObject({ code: "identity/tpm-key-foreign", remedy: "operator" });
    expect(failure.message).toContain("device.priv");

    await soft.tool("clear");
    const cleared = await failureOf(openTpmTlsKey(soft.open(), at));
    expect(cleared).toMatchObject({ code: "identity/tpm-parent-missing", remedy: "operator" });
    expect(cleared.message).toContain("0x81000001");
  });

  test("has a damaged file, or the halves of two keys", async () => {
    const at = await makeKeyFiles(soft, "P-256");
    const path = at.private[0]?.path ?? "";
    const content = readFileSync(path);
    content[80] = (content[80] ?? 0) ^ 1;
    writeFileSync(path, content);
    expect((await failureOf(openTpmTlsKey(soft.open(), at))).code).toBe("identity/tpm-key-foreign");
    writeFileSync(path, "no key at all");
    expect((await failureOf(openTpmTlsKey(soft.open(), at))).remedy).toBe("operator");
    await makeKeyFiles(soft, "P-256");
    const one = readFileSync(path);
    await makeKeyFiles(soft, "P-256");
    writeFileSync(path, one);
    expect((await failureOf(openTpmTlsKey(soft.open(), at))).code).toBe("identity/tpm-key-foreign");
  });

  test("lies in files that others may read, or not at all", async () => {
    const at = await makeKeyFiles(soft, "P-256");
    const nowhere = [{ path: `${soft.folder}/nowhere`, isCredential: false }];
    const failure = await failureOf(openTpmTlsKey(soft.open(), { ...at, private: nowhere }));
    expect(failure.code).toBe("identity/key-file-missing");
  });
});

describe("a private key of a TPM", () => {
  test("signs a request for its certificate", async () => {
    using key = await openTpmTlsKey(soft.open(), await makeKeyAtHandle(soft, "RSA-2048"));
    expect(certificationRequest("gw-7", key)).toMatch(/^-----BEGIN CERTIFICATE REQUEST-----\n/);
  });

  test("is made by the README's recipe", async () => {
    await makeKeyFiles(soft, "RSA-2048");
    const readme = readFileSync(join(import.meta.dirname, "../../README.md"), "utf8");
    const recipe = /^tpm2_create [^\n]+\nchmod [^\n]+$/m.exec(readme)?.[0] ?? "the README has no recipe";
    const env = { ...process.env, TPM2TOOLS_TCTI: soft.tcti, TSS2_LOG: "all+NONE" };
    rmSync(join(soft.folder, "device.pub"));
    rmSync(join(soft.folder, "device.priv"));
    await promisify(execFile)("sh", ["-c", recipe], { cwd: soft.folder, env });
    await soft.tool("flushcontext", "-t");
    const place = (name: string) => [{ path: join(soft.folder, name), isCredential: false }];
    const at = { kind: "files", public: place("device.pub"), private: place("device.priv") } as const;
    using key = await openTpmTlsKey(soft.open(), at);
    expect(key.warnings).toEqual([]);
    expect(createPublicKey({ key: Buffer.from(key.publicKey), format: "der", type: "spki" })).toMatchObject({
      asymmetricKeyType: "ec",
    });
  });

  test("warns of what a person should mend: no noda, or a key that may be elsewhere too", async () => {
    const made = await makeKeyAtHandle(soft, "P-256");
    using good = await openTpmTlsKey(soft.open(), made);
    expect(good.warnings).toEqual([]);
    await makeKeyAtHandle(soft, "P-256", { attributes: signs.replace("|noda", "") });
    using protectedKey = await openTpmTlsKey(soft.open(), handle);
    expect(protectedKey.warnings).toEqual([expect.stringContaining("noda")]);
    await makeKeyAtHandle(soft, "P-256", { attributes: "sensitivedataorigin|userwithauth|noda|sign" });
    using movable = await openTpmTlsKey(soft.open(), handle);
    expect(movable.warnings).toEqual([expect.stringContaining("copies of it may exist")]);
  });

  test("signs while the TPM is locked out", async () => {
    const at = await makeKeyAtHandle(soft, "P-256");
    await lockOut();
    using key = await openTpmTlsKey(soft.open(), at);
    expect(key.sign(Buffer.from("data")).length).toBeGreaterThan(60);
  });

  test("leaves nothing in the TPM and no file, however many handshakes it has made", async () => {
    const at = await makeKeyFiles(soft, "P-256");
    const key = await openTpmTlsKey(soft.open(), at);
    for (let round = 0; round < 10; round += 1) key.sign(Buffer.from(`data ${round}`));
    key[Symbol.dispose]();
    for (const kind of ["transient", "loaded-session", "saved-session"])
      expect(await soft.handles(kind)).toEqual([]);
    expect(soft.leftovers()).toEqual([]);
  });

  test("says why a handshake failed when the TPM is gone, and serves again when it is back", async () => {
    using key = await openTpmTlsKey(soft.open(), await makeKeyAtHandle(soft, "P-256"));
    const certPem = await selfSignedBy(key, "gw-7");
    await using server = await startMutualTls([certPem]);
    const options = { cert: certPem, key: key.tlsKey.reveal() };
    await soft.powerOff();
    expect(await server.handshake(options)).toMatchObject({ error: { code: "ERR_SSL_SIGNER_REFUSED" } });
    expect(key.failure).toMatchObject({ code: "identity/tpm-unreachable", remedy: "retry" });
    await soft.powerOn();
    expect(await server.handshake(options)).toMatchObject({ status: "accepted", commonName: "gw-7" });
    expect(key.failure).toBeUndefined();
  });
});
