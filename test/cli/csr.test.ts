// The certificate library resolves its parts through reflection metadata and refuses to load without this.
import "reflect-metadata";
import { Pkcs10CertificateRequest } from "@peculiar/x509";
import { execFileSync } from "node:child_process";
import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { selfSigned } from "../identity/device-pki.ts";
import { SoftHsm } from "../identity/soft-hsm.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";
import { terminal } from "./terminal.ts";

const ec = (namedCurve: string) => generateKeyPairSync("ec", { namedCurve }).privateKey;
const keys = {
  "RSA-2048": generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey,
  "P-256": ec("P-256"),
  "P-384": ec("P-384"),
};
const kinds = ["RSA-2048", "P-256", "P-384"] as const;

function pemOf(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}

/** Writes key and configuration. @returns the command line. */
function device(folder: TemporaryFolder, key: string, ...lines: readonly string[]): readonly string[] {
  writeFileSync(folder.join("device.key"), key, { mode: 0o600 });
  const config = ['id_scope = "0ne00000001"', ...lines].join("\n");
  writeFileSync(folder.join("config.toml"), config);
  return ["identity", "csr", "--config", folder.join("config.toml")];
}

/** What an authority reads in a request; its signature has to hold. */
async function read(pem: string): Promise<{ readonly subject: string; readonly publicKey: Buffer }> {
  const request = new Pkcs10CertificateRequest(pem);
  expect(await request.verify()).toBe(true);
  return { subject: request.subject, publicKey: Buffer.from(request.publicKey.rawData) };
}

function publicHalf(key: KeyObject): Buffer {
  return createPublicKey(key).export({ type: "spki", format: "der" });
}

describe("latebind identity csr", () => {
  it("refuses a symmetric key, and a name that no certificate can carry", async () => {
    using folder = new TemporaryFolder();
    const symmetric = await terminal(device(folder, Buffer.alloc(32).toString("base64")));
    expect(symmetric).toMatchObject({ code: 1, stdout: "" });
    expect(symmetric.stderr).toContain("[identity/key-malformed]");
    const long = await terminal(
      device(folder, pemOf(keys["P-256"]), `registration_id = "${"a".repeat(65)}"`),
    );
    expect(long).toMatchObject({ code: 1, stdout: "" });
    expect(long.stderr).toContain("at most 64 characters");
  });

  it("names the problems of a wrong configuration", async () => {
    using folder = new TemporaryFolder();
    expect(await terminal(device(folder, "", "port = 1"))).toMatchObject({ code: 78, stdout: "" });
  });

  it.each(kinds)("asks for a certificate with a %s key from a file", async (kind) => {
    using folder = new TemporaryFolder();
    const { code, stdout, stderr } = await terminal(device(folder, pemOf(keys[kind])));
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(await read(stdout)).toEqual({ subject: "CN=host-7", publicKey: publicHalf(keys[kind]) });
  });

  it.each(kinds)("asks for a certificate with a %s key that stays in a token", async (kind) => {
    using folder = new TemporaryFolder();
    using hsm = new SoftHsm();
    hsm.addKeyPair(pemOf(keys[kind]), { label: "device", id: "01" });
    const lines = [`key = "${hsm.uri("object=device")}"`, 'registration_id = "gw-7"'];
    const { code, stdout, stderr } = await terminal(device(folder, "", ...lines));
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(await read(stdout)).toEqual({ subject: "CN=gw-7", publicKey: publicHalf(keys[kind]) });
  });

  it("asks for the next certificate under the name of the present one, also when that has expired", async () => {
    using folder = new TemporaryFolder();
    const present = await selfSigned("gw-9", { toDays: -1 });
    writeFileSync(folder.join("device.pem"), present.chainPem);
    const { stdout } = await terminal(device(folder, present.keyPem, 'certificate = "file:device.pem"'));
    expect((await read(stdout)).subject).toBe("CN=gw-9");
  });

  it("asks for the first certificate though its place is configured already", async () => {
    using folder = new TemporaryFolder();
    const { stdout } = await terminal(
      device(folder, pemOf(keys["P-256"]), 'certificate = "file:device.pem"'),
    );
    expect((await read(stdout)).subject).toBe("CN=host-7");
  });

  it("makes what openssl takes", async () => {
    using folder = new TemporaryFolder();
    const { stdout: input } = await terminal(device(folder, pemOf(keys["P-384"])));
    const args = ["req", "-verify", "-noout", "-subject"];
    const says = execFileSync("openssl", args, { input, encoding: "utf8", stdio: "pipe" });
    expect(says).toMatch(/subject=CN ?= ?host-7/);
  });
});
