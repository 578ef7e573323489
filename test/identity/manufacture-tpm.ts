import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

/**
 * Makes a TPM as a factory does: endorsement keys at their handles, RSA and ECC, and the maker's certificates beside them. The
 * maker's own authority stays in the folder too.
 */
export async function manufactureTpm(folder: string): Promise<void> {
  const authority = join(folder, "maker");
  mkdirSync(authority);
  const write = (name: string, ...lines: readonly string[]) => {
    writeFileSync(join(authority, name), `${lines.join("\n")}\n`);
    return join(authority, name);
  };
  const files = ["signingkey", "issuercert", "certserial"].map((name) => `${name} = ${authority}/${name}`);
  const platform = ["--platform-manufacturer Maker", "--platform-version 1", "--platform-model Model"];
  const config = write(
    "setup.conf",
    "create_certs_tool = /usr/bin/swtpm_localca",
    `create_certs_tool_config = ${write("authority.conf", `statedir = ${authority}`, ...files)}`,
    `create_certs_tool_options = ${write("authority.options", ...platform)}`,
    "active_pcr_banks = sha256",
  );
  const what = ["--tpm2", "--createek", "--create-ek-cert"];
  await promisify(execFile)("swtpm_setup", [...what, "--tpmstate", folder, "--config", config]);
}
