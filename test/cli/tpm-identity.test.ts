import { X509Certificate } from "node:crypto";
import { writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { manufactureTpm } from "../identity/manufacture-tpm.ts";
import { SoftTpm } from "../identity/soft-tpm.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";
import { terminal } from "./terminal.ts";

let soft: SoftTpm;
let folder: TemporaryFolder;

beforeEach(async () => {
  soft = await SoftTpm.start();
  folder = new TemporaryFolder();
});
afterEach(async () => {
  folder[Symbol.dispose]();
  await soft[Symbol.asyncDispose]();
});

/** What the environment of a person says, where the configuration says nothing. */
const told = () => ({ env: { TPM2TOOLS_TCTI: soft.tcti, STATE_DIRECTORY: folder.path } });

function command(...more: readonly string[]): readonly string[] {
  const [first = "identity", ...rest] = more[0]?.startsWith("-") === false ? more : ["identity", ...more];
  return first === "identity"
    ? ["identity", "--config", folder.join("config.toml"), ...rest]
    : ["identity", first, "--config", folder.join("config.toml"), ...rest];
}

async function json(): Promise<Readonly<Record<string, unknown>>> {
  const parsed: unknown = JSON.parse((await terminal(command("--json"), told())).stdout);
  return { ...(typeof parsed === "object" ? parsed : {}) };
}

describe("latebind identity with a TPM", () => {
  it("says what is missing where there is neither a key nor a TPM", async () => {
    const nowhere = { env: { TPM2TOOLS_TCTI: "device:/nonexistent/tpmrm0" } };
    const { code, stdout, stderr } = await terminal(command(), nowhere);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(
      /^no device key: .*device\.key does not exist\..* Nor is a TPM of use: there is no \/nonexistent\/tpmrm0\..*\[identity\/tpm-device-missing\]\n$/,
    );
  });

  it("prints in one form only", async () => {
    expect(await terminal(command("--json", "--az"), told())).toMatchObject({ code: 2, stdout: "" });
  });

  it("finds a TPM before any configuration exists, and leaves it as it is", async () => {
    const { code, stdout, stderr } = await terminal(command(), told());
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^Registration ID +[a-z2-7]{52}\nAttestation +tpm\nKey +TPM at swtpm:path=/);
    expect(stdout).toMatch(/^Endorsement key +AToAAQALAAMAsgAgg3GX[A-Za-z0-9+/=]+$/m);
    expect(stdout).toMatch(/^Storage root key +ARoAAQALAAMEcgAAAAYAgABD[A-Za-z0-9+/=]+$/m);
    expect(stdout).toMatch(/^Manufacturer +IBM \(SW TPM\)\nFirmware +0x[0-9a-f]{8}\.0x[0-9a-f]{8}$/m);
    expect(stdout).toMatch(/^Warning .*key = "tpm2:"/m);
    expect(await soft.handles("persistent")).toEqual([]);
  });

  it("takes a configuration without ID scope, as a package brings it, and other handles from it", async () => {
    writeFileSync(folder.join("config.toml"), `key = "tpm2:"\n[tpm]\ntcti = "${soft.tcti}"\n`);
    const { code, stdout } = await terminal(command());
    expect(code).toBe(0);
    expect(stdout).not.toContain("Warning");
    writeFileSync(folder.join("config.toml"), `registration_id = "gw-7"\nkey = "tpm2:"\n`);
    expect((await terminal(command(), told())).stdout).toMatch(/^Registration ID +gw-7\n/);
  });

  it("shows the TPM beside a key file when it is asked to", async () => {
    writeFileSync(folder.join("device.key"), Buffer.alloc(32, 7).toString("base64"), { mode: 0o600 });
    expect((await terminal(command(), told())).stdout).toMatch(/^Attestation +symmetric-key$/m);
    expect((await terminal(command("--tpm"), told())).stdout).toMatch(/^Attestation +tpm$/m);
  });

  it("prints the enrollment as a command, as CSV and as JSON, with the same keys", async () => {
    const { registrationId, endorsementKey } = await json();
    const { stdout } = await terminal(command("--az"), told());
    expect(stdout).toBe(
      "az iot dps enrollment create --dps-name NAME --resource-group GROUP \\\n" +
        `  --enrollment-id ${String(registrationId)} --attestation-type tpm \\\n` +
        `  --endorsement-key ${String(endorsementKey)}\n`,
    );
    const [header = "", row = ""] = (await terminal(command("--csv"), told())).stdout.split("\r\n");
    const column = header.split(",").indexOf("endorsementKey");
    expect(row.split(",")[column]).toBe(endorsementKey);
  });

  it("prints the certificate with which the maker vouches for the endorsement key", async () => {
    await soft[Symbol.asyncDispose]();
    soft = await SoftTpm.start(manufactureTpm);
    const { endorsementIssuer, endorsementCertificate, warnings } = await json();
    expect(endorsementIssuer).toMatch(/^CN=swtpm-localca, until \d{4}-/);
    const certificate = new X509Certificate(Buffer.from(String(endorsementCertificate), "base64"));
    expect(certificate.issuer).toBe("CN=swtpm-localca");
    expect(warnings).toHaveLength(1);
  });

  it("warns where the certificate of the maker is for another key", async () => {
    await soft[Symbol.asyncDispose]();
    soft = await SoftTpm.start(manufactureTpm);
    const other = `key = "tpm2:"\n[tpm]\nek_template = "azure-sdk"\nek_handle = "0x81000011"\n`;
    writeFileSync(folder.join("config.toml"), other);
    expect((await json())["warnings"]).toEqual([expect.stringContaining("another endorsement key")]);
  });
});

describe("latebind identity create-key", () => {
  it.each(["0x40000001", "0x81800000", "81000201"])("takes no handle like %s", async (handle) => {
    expect(await terminal(command("create-key", "--handle", handle), told())).toMatchObject({ code: 2 });
  });

  it("makes a key that never leaves the TPM and asks for its certificate, and overwrites none", async () => {
    const made = await terminal(command("create-key"), told());
    expect(made).toMatchObject({ code: 0, stderr: "" });
    expect(made.stdout).toContain('key = "tpm2:handle=0x81000201"\n');
    const attributes = await soft.tool("readpublic", "-c", "0x81000201");
    expect(attributes).toMatch(/fixedtpm\|fixedparent\|sensitivedataorigin\|userwithauth\|noda\|sign/);
    writeFileSync(folder.join("config.toml"), made.stdout.split("\n").slice(1, 3).join("\n"));
    const csr = await terminal(command("csr"), told());
    expect(csr.stdout).toMatch(/^-----BEGIN CERTIFICATE REQUEST-----\n/);

    const again = await terminal(command("create-key"), told());
    expect(again).toMatchObject({ code: 1, stdout: "" });
    expect(again.stderr).toMatch(/tpm2_evictcontrol -C o -c 0x81000201 \[identity\/tpm-handle-occupied\]\n$/);
    expect(await soft.tool("readpublic", "-c", "0x81000201")).toBe(attributes);
    const other = await terminal(command("create-key", "--rsa", "--handle", "0x81000202"), told());
    expect(other.code).toBe(0);
    expect(await soft.handles("persistent")).toEqual(["0x81000001", "0x81000201", "0x81000202"]);
  });
});
