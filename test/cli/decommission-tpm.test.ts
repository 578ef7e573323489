import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TpmDevice } from "../../src/identity/tpm/tpm-device.ts";
import { Tpm } from "../../src/identity/tpm/tpm.ts";
import { SoftTpm } from "../identity/soft-tpm.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";
import { terminal } from "./terminal.ts";

let soft: SoftTpm;
let folder: TemporaryFolder;

beforeEach(async () => {
  soft = await SoftTpm.start();
  folder = new TemporaryFolder();
  for (const name of ["state", "run", "cache"]) mkdirSync(folder.join(name));
});
afterEach(async () => {
  folder[Symbol.dispose]();
  await soft[Symbol.asyncDispose]();
});

const endorsement = "0x81010001";
const storage = "0x81000001";
const never = new AbortController().signal;

const situation = (stateDirectory = folder.join("state")) => ({
  env: {
    TPM2TOOLS_TCTI: soft.tcti,
    STATE_DIRECTORY: stateDirectory,
    RUNTIME_DIRECTORY: folder.join("run"),
    CACHE_DIRECTORY: folder.join("cache"),
  },
});
const config = () => ["--config", folder.join("config.toml")];
const decommission = async () => terminal(["decommission", ...config(), "--yes"], situation());
const createKey = async (...more: readonly string[]) =>
  terminal(["identity", ...config(), "create-key", ...more], situation());

/** As `latebind run` does it. */
async function identify(stateDirectory = folder.join("state")): Promise<void> {
  const around = { workDirectory: soft.workDirectory, stateDirectory };
  await new TpmDevice(new Tpm(soft.settings(), around)).open(never);
}

describe("latebind decommission with a TPM", () => {
  it("leaves keys alone that were there before the agent", async () => {
    await soft.tool("createprimary", "-C", "o", "-G", "rsa2048:aes128cfb", "-c", "theirs.ctx");
    await soft.tool("evictcontrol", "-C", "o", "-c", "theirs.ctx", storage);
    await identify();
    expect(readdirSync(folder.join("state"))).toEqual([`tpm-${endorsement}.json`]);
    expect(await decommission()).toMatchObject({ code: 0 });
    expect(await soft.handles("persistent")).toEqual([storage]);
  });

  it("leaves a key alone that somebody laid at the handle since, and says so", async () => {
    await createKey();
    await soft.tool("evictcontrol", "-C", "o", "-c", "0x81000201");
    await soft.tool("createprimary", "-C", "o", "-G", "ecc256", "-c", "theirs.ctx");
    await soft.tool("evictcontrol", "-C", "o", "-c", "theirs.ctx", "0x81000201");
    const { code, stdout } = await decommission();
    expect(code).toBe(0);
    expect(stdout).toMatch(/^left +TPM private key +0x81000201: another key lies there by now/m);
    expect(await soft.handles("persistent")).toEqual(["0x81000201"]);
  });

  it("removes no key with a wrong value of the owner, keeps the note, and does it with the right one", async () => {
    await identify();
    await soft.tool("changeauth", "-c", "owner", "right");
    const setOwner = (value: string) => {
      writeFileSync(folder.join("owner"), value, { mode: 0o600 });
      writeFileSync(folder.join("config.toml"), '[tpm]\nowner_auth = "file:owner"\n');
    };
    setOwner("wrong");
    const refused = await decommission();
    expect(refused.code).toBe(1);
    expect(refused.stdout).toMatch(/^2 of 2 could not be removed\.\n/);
    expect(refused.stdout).toMatch(
      /^failed +TPM endorsement key +0x81010001: .*\[identity\/tpm-authorization\]$/m,
    );
    expect(refused.stdout).not.toContain("wrong\n");
    expect(await soft.handles("persistent")).toHaveLength(2);
    setOwner("right");
    expect(await decommission()).toMatchObject({ code: 0 });
    expect(await soft.handles("persistent")).toEqual([]);
    expect(readdirSync(folder.join("state"))).toEqual([]);
  });

  it("tells a TPM that is gone, and keeps what it knows of its keys", async () => {
    await identify();
    await soft.powerOff();
    const { code, stdout } = await decommission();
    expect(code).toBe(1);
    expect(stdout).toMatch(/^failed +TPM storage root key .*\[identity\/tpm-/m);
    expect(readdirSync(folder.join("state"))).toHaveLength(2);
    await soft.powerOn();
    expect(await decommission()).toMatchObject({ code: 0 });
  });

  it.each([
    ["half written", "{"],
    [
      "about a file in place of a handle",
      '{"handle":"a/../tpm-0x81000001","what":"private key","name":"000b"}',
    ],
  ])("tells a note that is %s instead of guessing", async (_, content) => {
    const note = folder.join("state", `tpm-${storage}.json`);
    writeFileSync(note, content);
    const { code, stdout } = await decommission();
    expect(code).toBe(1);
    expect(stdout).toContain(`${note}: it is damaged`);
    expect(existsSync(note)).toBe(true);
  });

  it("removes what run and create-key made, after listing it", async () => {
    await identify();
    await createKey("--rsa", "--handle", "0x81000202");
    const plan = await terminal(["decommission", ...config()], situation());
    expect(plan.stdout).toMatch(/TPM storage root key +0x81000001\n.*0x81000202\n.*0x81010001\n/);
    expect(plan.stdout).toContain("No copy of a private key in the TPM exists");
    expect(await soft.handles("persistent")).toHaveLength(3);
    const { code, stdout } = await decommission();
    expect(code).toBe(0);
    expect(stdout.match(/^removed +TPM /gm)).toHaveLength(3);
    expect(await soft.handles("persistent")).toEqual([]);
  });
});

describe("notes of keys in the TPM", () => {
  it("come before the key: where none can be written, create-key makes none", async () => {
    writeFileSync(folder.join("file"), "");
    const args = ["identity", ...config(), "create-key"];
    const { code, stderr } = await terminal(args, situation(folder.join("file/state")));
    expect(code).toBe(1);
    expect(stderr).toMatch(/\[platform\/state-not-written\]\n$/);
    expect(await soft.handles("persistent")).toEqual([]);
  });

  it("keep no device from its hub where they cannot be written", async () => {
    writeFileSync(folder.join("file"), "");
    await identify(folder.join("file/state"));
    expect(await soft.handles("persistent")).toEqual([storage, endorsement]);
  });

  it("are gone again where the TPM did not take the key", async () => {
    await soft.tool("changeauth", "-c", "owner", "right");
    await expect(identify()).rejects.toMatchObject({ code: "identity/tpm-authorization" });
    expect(readdirSync(folder.join("state"))).toEqual([]);
  });
});
