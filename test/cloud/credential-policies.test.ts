import { X509Certificate } from "node:crypto";
import { execFileSync } from "node:child_process";
import { expect, describe, it, beforeAll } from "vitest";
import { CredentialPolicies } from "./credential-policies.ts";

const policies = new CredentialPolicies(() => Date.now());
const p384 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"];

function csr(commonName: string, key: readonly string[] = p384): string {
  const args = ["req", "-new", ...key, "-nodes", "-keyout", "/dev/null", "-outform", "DER"];
  return execFileSync("openssl", [...args, "-subj", `/CN=${commonName}`], { stdio: "pipe" }).toString(
    "base64",
  );
}

beforeAll(async () => policies.put("factory", 7));

describe("a CSR is rejected", () => {
  it.each<[string, () => string]>([
    ["FailedToDecodeCsr", () => "not base64"],
    ["FailedToDecodeCsr", () => Buffer.from("not DER").toString("base64")],
    ["FailedToDecodeCsr", () => `-----BEGIN CERTIFICATE REQUEST-----\n${csr("gateway-1")}`],
    ["CsrTooLong", () => "A".repeat(8193)],
    ["CommonNameMismatch", () => csr("gateway-2")],
    ["CommonNameMismatch", () => csr("Gateway-1")],
    ["UnsupportedKey", () => csr("gateway-1", ["-newkey", "rsa:2048"])],
    ["UnsupportedKey", () => csr("gateway-1", ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"])],
    ["InvalidCsrSignature", () => withLastByteFlipped(csr("gateway-1"))],
  ])("with %s", async (credentialError, make) => {
    expect(await policies.issue("factory", make(), "gateway-1")).toMatchObject({ credentialError });
  });
});

describe("a policy", () => {
  it.each([6, 91, 7.5])("cannot be for %d days", async (days) => {
    await expect(policies.put("odd", days)).rejects.toThrow("7 to 90");
  });

  it.each([["P-384"], ["P-256"]])("certifies a %s key: leaf, intermediate, root", async (curve) => {
    const request = csr("gateway-1", ["-newkey", "ec", "-pkeyopt", `ec_paramgen_curve:${curve}`]);
    const issued = await policies.issue("factory", request, "gateway-1");
    const chain = issued.status === "issued" ? issued.chain : [];
    const [leaf, intermediate, root] = chain.map((der) => new X509Certificate(Buffer.from(der, "base64")));
    if (leaf === undefined || intermediate === undefined || root === undefined) throw new Error("too short");
    expect(leaf.subject).toBe("CN=gateway-1");
    expect(leaf.verify(intermediate.publicKey) && intermediate.verify(root.publicKey)).toBe(true);
    expect(root.toString()).toBe(new X509Certificate(policies.get("factory").rootPem).toString());
    expect([leaf.ca, intermediate.ca, root.ca]).toEqual([false, true, true]);
    const days = (leaf.validToDate.getTime() - Date.now()) / 86_400_000;
    expect(Math.round(days)).toBe(7);
  });
});

function withLastByteFlipped(base64: string): string {
  const bytes = Buffer.from(base64, "base64");
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  return bytes.toString("base64");
}
