import { X509Certificate } from "node:crypto";
import { writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { selfSigned, type Credential } from "../identity/device-pki.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";
import { terminal } from "./terminal.ts";

const deviceKey = Buffer.alloc(32, 7).toString("base64");

/** A configuration with its key, and with a certificate where there is one. */
function device(folder: TemporaryFolder, credential?: Credential, more = ""): readonly string[] {
  writeFileSync(folder.join("device.key"), credential?.keyPem ?? deviceKey, { mode: 0o600 });
  if (credential !== undefined) writeFileSync(folder.join("device.pem"), credential.chainPem);
  const certificate = credential === undefined ? "" : 'certificate = "file:device.pem"\n';
  writeFileSync(folder.join("config.toml"), `id_scope = "0ne00000001"\n${certificate}${more}`);
  return ["identity", "--config", folder.join("config.toml")];
}

async function gateway(): Promise<Credential> {
  const root = await selfSigned("Root");
  return (await root.issue("Line", { isAuthority: true })).issue("gw-7", { subject: 'O="Hall, 7",CN=gw-7' });
}

describe("latebind identity", () => {
  it("names every problem of the configuration and ends with code 78", async () => {
    using folder = new TemporaryFolder();
    const { code, stdout, stderr } = await terminal(device(folder, undefined, "port = 1\n"));
    expect({ code, stdout }).toEqual({ code: 78, stdout: "" });
    expect(stderr).toContain("config.toml:2: port:");
  });

  it("says what is wrong with key or certificate and ends with code 1", async () => {
    using folder = new TemporaryFolder();
    const args = device(folder, await gateway(), 'registration_id = "gw-8"\n');
    const { code, stdout, stderr } = await terminal(args);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(
      /common name is "gw-7", but registration_id is "gw-8".*\[identity\/certificate-name\]\n$/,
    );
  });

  it("prints in one form only", async () => {
    using folder = new TemporaryFolder();
    expect(await terminal([...device(folder), "--json", "--csv"])).toMatchObject({ code: 2, stdout: "" });
  });

  it("prints a symmetric identity without the key", async () => {
    using folder = new TemporaryFolder();
    expect(await terminal(device(folder))).toMatchObject({
      code: 0,
      stderr: "",
      stdout:
        "Registration ID  host-7\n" +
        "Attestation      symmetric-key\n" +
        `Key              file ${folder.join("device.key")}\n`,
    });
  });

  it("prints a certificate with its thumbprints, its time and its chain", async () => {
    using folder = new TemporaryFolder();
    const credential = await gateway();
    const leaf = new X509Certificate(credential.certPem);
    const { stdout } = await terminal(device(folder, credential));
    for (const line of [
      "Registration ID  gw-7\n",
      "Attestation      x509\n",
      "Issued by        CN=Line\n",
      `SHA-1            ${leaf.fingerprint.replaceAll(":", "")}\n`,
      `SHA-256          ${leaf.fingerprint256.replaceAll(":", "")}\n`,
      `Valid until      ${leaf.validToDate.toISOString()}\n`,
      "Chain            CN=Line\n",
    ])
      expect(stdout).toContain(line);
    expect(stdout).not.toContain("PRIVATE KEY");
  });

  it("prints JSON and CSV with the same content, and quotes what CSV would take apart", async () => {
    using folder = new TemporaryFolder();
    const credential = await gateway();
    const args = device(folder, credential);
    const json: unknown = JSON.parse((await terminal([...args, "--json"])).stdout);
    const sha256Thumbprint = new X509Certificate(credential.certPem).fingerprint256.replaceAll(":", "");
    expect(json).toMatchObject({
      registrationId: "gw-7",
      attestation: "x509",
      sha256Thumbprint,
      warnings: [],
    });
    const [header = "", row = "", end] = (await terminal([...args, "--csv"])).stdout.split("\r\n");
    expect(header).toMatch(/^registrationId,attestation,key,subject,issuer,sha1Thumbprint,sha256Thumbprint,/);
    expect(row).toMatch(/^gw-7,x509,file [^,]+,"O=.*Hall.*CN=gw-7",CN=Line,[0-9A-F]{40},/);
    expect(row).toContain(sha256Thumbprint);
    expect(end).toBe("");
  });
});

describe("latebind identity --az", () => {
  it("tells how to enrol a symmetric key without showing it", async () => {
    using folder = new TemporaryFolder();
    const { stdout } = await terminal([...device(folder), "--az"]);
    expect(stdout).toContain("--enrollment-id host-7 --attestation-type symmetricKey \\\n");
    expect(stdout).toContain('--primary-key "$(cat device.key)"');
    expect(stdout).not.toContain(deviceKey);
  });

  it("brings a certificate along, for a shell that is not on the device", async () => {
    using folder = new TemporaryFolder();
    const credential = await gateway();
    const { stdout } = await terminal([...device(folder, credential), "--az"]);
    const [, pem = ""] = /^cat > gw-7\.pem <<'END'\n([^]*)\nEND\n/.exec(stdout) ?? [];
    expect(new X509Certificate(pem).fingerprint256).toBe(
      new X509Certificate(credential.certPem).fingerprint256,
    );
    expect(stdout).toMatch(/--enrollment-id gw-7 --attestation-type x509 --certificate-path gw-7\.pem\n$/);
  });
});
