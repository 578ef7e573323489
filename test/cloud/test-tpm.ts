import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { parseFields } from "./test-tpm-blob.ts";

const run = promisify(execFile);

/** A software TPM driven by tpm2-tools, as a device would use a real one. */
export interface TestTpm extends AsyncDisposable {
  /** What DPS is sent: base64 of TPM2B_PUBLIC. */
  readonly endorsementKey: string;
  readonly storageRootKey: string;
  /** Takes the HMAC key in a blob in. @throws when the TPM refuses it. */
  takeIn(authenticationKey: string): Promise<void>;
  /** HMAC-SHA256 with the key that was taken in last, in base64. */
  hmac(text: string): Promise<string>;
  /** Makes the storage root key a new one, as clearing the TPM does. */
  replaceStorageRootKey(): Promise<string>;
}

const ek = "0x81010001";
const srk = "0x81000001";

export async function startTestTpm(): Promise<TestTpm> {
  await using parts = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "latebind-swtpm-"));
  parts.defer(async () => rm(folder, { recursive: true }));
  const file = (name: string): string => join(folder, name);
  const socket = file("socket");
  const address = ["--server", `type=unixio,path=${socket}`, "--ctrl", `type=unixio,path=${socket}.ctrl`];
  const start = ["--flags", "not-need-init,startup-clear"];
  const swtpm = spawn("swtpm", ["socket", "--tpm2", "--tpmstate", `dir=${folder}`, ...address, ...start]);
  const ended = Promise.withResolvers<void>();
  swtpm.once("exit", () => ended.resolve());
  swtpm.once("error", ended.reject);
  parts.defer(async () => {
    swtpm.kill();
    await ended.promise;
  });

  const env = { ...process.env, TPM2TOOLS_TCTI: `swtpm:path=${socket}`, TSS2_LOG: "all+NONE" };
  const tool = async (name: string, ...args: readonly string[]): Promise<void> => {
    await run(`tpm2_${name}`, [...args, "-Q"], { env });
    // Without a resource manager every loaded object stays and takes one of three places.
    await run("tpm2_flushcontext", ["-t"], { env });
  };

  async function createStorageRootKey(unique: string): Promise<string> {
    const attributes = "restricted|decrypt|fixedtpm|fixedparent|noda|userwithauth|sensitivedataorigin";
    // The tool reads the C structure: a little-endian length, then the bytes.
    await writeFile(file("unique"), Buffer.from([unique.length, 0, ...Buffer.from(unique)]));
    const template = ["-G", "rsa2048:aes128cfb", "-g", "sha256", "-a", attributes, "-u", file("unique")];
    await run("tpm2_createprimary", ["-C", "o", ...template, "-c", file("srk.ctx"), "-Q"], { env });
    await tool("evictcontrol", "-C", "o", "-c", file("srk.ctx"), srk);
    await tool("readpublic", "-c", srk, "-o", file("srk.pub"));
    return (await readFile(file("srk.pub"))).toString("base64");
  }

  await waitForFile(socket);
  await tool("createek", "-G", "rsa", "-c", ek, "-u", file("ek.pub"));
  let storageRootKey = await createStorageRootKey("");
  const endorsementKey = (await readFile(file("ek.pub"))).toString("base64");

  async function takeIn(authenticationKey: string): Promise<void> {
    const fields = parseFields(Buffer.from(authenticationKey, "base64"));
    const [idObject, secret, duplicate, seed, publicArea] = fields;
    const magic = Buffer.from("badcc0de00000001", "hex");
    await writeFile(file("credential"), Buffer.concat([magic, idObject, secret]));
    await writeFile(file("duplicate"), duplicate);
    await writeFile(file("seed"), seed);
    await writeFile(file("key.pub"), publicArea);
    const session = file("session");
    await run("tpm2_startauthsession", ["--policy-session", "-g", "sha256", "-S", session, "-Q"], { env });
    try {
      await run("tpm2_policysecret", ["-S", session, "-c", "e", "-Q"], { env });
      const credential = ["-i", file("credential"), "-o", file("inner.key")];
      await tool("activatecredential", "-c", srk, "-C", ek, "-P", `session:${session}`, ...credential);
    } finally {
      await run("tpm2_flushcontext", [session], { env });
    }
    const wrapped = ["-k", file("inner.key"), "-s", file("seed"), "-i", file("duplicate")];
    const key = ["-u", file("key.pub"), "-r", file("key.priv")];
    await tool("import", "-C", srk, "-G", "hmac", ...wrapped, ...key);
    await tool("load", "-C", srk, ...key, "-c", file("key.ctx"));
  }

  const running = parts.move();
  return {
    endorsementKey,
    get storageRootKey() {
      return storageRootKey;
    },
    takeIn,
    async hmac(text) {
      await writeFile(file("data"), text);
      await tool("hmac", "-c", file("key.ctx"), "-o", file("hmac"), file("data"));
      return (await readFile(file("hmac"))).toString("base64");
    },
    async replaceStorageRootKey() {
      await tool("evictcontrol", "-C", "o", "-c", srk);
      storageRootKey = await createStorageRootKey("another");
      return storageRootKey;
    },
    [Symbol.asyncDispose]: async () => running.disposeAsync(),
  };
}

/** The program says nothing when it is ready; its socket appears. */
async function waitForFile(path: string): Promise<void> {
  for (let tries = 0; !existsSync(path); tries += 1) {
    if (tries === 250) throw new Error("swtpm does not open its socket within 5 s");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
