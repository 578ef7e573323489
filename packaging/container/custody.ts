import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Daemon, run } from "./run.ts";

/** Where the device's key is, as the agent's configuration and the operator's enrollment want to know it. */
export interface Custody extends AsyncDisposable {
  /** In words. */
  readonly name: string;
  /** Lines of the agent's configuration. */
  readonly config: string;
  readonly env: Readonly<Record<string, string>>;
  /** Of a symmetric key, base64. Absent with a TPM: there the endorsement key is enrolled. */
  readonly symmetricKey?: string;
}

export async function openCustody(kind: "tpm" | "token", work: string): Promise<Custody> {
  return kind === "tpm" ? openSoftwareTpm(work) : openSoftToken(work);
}

async function openSoftwareTpm(work: string): Promise<Custody> {
  const folder = join(work, "tpm");
  const socket = join(folder, "socket");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const daemon = new Daemon(
    "/usr/bin/swtpm",
    ["socket", "--tpm2", "--tpmstate", `dir=${folder}`, "--flags", "not-need-init,startup-clear"].concat(
      ["--server", `type=unixio,path=${socket}`],
      ["--ctrl", `type=unixio,path=${socket}.ctrl`],
    ),
    // It says each time that a client is gone: there is one for each command.
    { stderr: "ignore" },
  );
  for (let waited = 0; !existsSync(socket) && waited < 50; waited += 1) await sleep(100);
  return {
    name: "a software TPM (swtpm)",
    config: `key = "tpm2:"\n[tpm]\ntcti = "swtpm:path=${socket}"\n`,
    env: {},
    [Symbol.asyncDispose]: async () => daemon[Symbol.asyncDispose](),
  };
}

const module = "/usr/lib/softhsm/libsofthsm2.so";
const pin = "1234";

async function openSoftToken(work: string): Promise<Custody> {
  const tokens = join(work, "tokens");
  const env = { SOFTHSM2_CONF: join(work, "softhsm2.conf") };
  rmSync(tokens, { recursive: true, force: true });
  mkdirSync(tokens, { recursive: true, mode: 0o700 });
  writeFileSync(env.SOFTHSM2_CONF, `directories.tokendir = ${tokens}\nobjectstore.backend = file\n`);
  writeFileSync(join(work, "pin"), `${pin}\n`, { mode: 0o600 });
  const key = randomBytes(32);
  const file = join(work, "secret");
  writeFileSync(file, key, { mode: 0o600 });
  const token = ["--init-token", "--free", "--label", "gateway", "--pin", pin, "--so-pin", "12345678"];
  await run("/usr/bin/softhsm2-util", token, env);
  const login = ["--module", module, "--token-label", "gateway", "--login", "--pin", pin];
  const object = ["--type", "secrkey", "--label", "device", "--id", "01", "--usage-sign", "--sensitive"];
  await run("/usr/bin/pkcs11-tool", [...login, "--write-object", file, ...object, "--private"], env);
  rmSync(file);
  return {
    name: "a SoftHSM token",
    config: `key = "pkcs11:token=gateway;object=device?module-path=${module}&pin-source=file:${work}/pin"\nregistration_id = "ci-gateway"\n`,
    env,
    symmetricKey: key.toString("base64"),
    async [Symbol.asyncDispose]() {
      // The token is a folder.
    },
  };
}
