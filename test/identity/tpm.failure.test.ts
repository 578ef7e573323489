import { randomBytes } from "node:crypto";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { TpmCredential } from "../../src/identity/identity.ts";
import { isAboutInput, readResponseCode } from "../../src/identity/tpm/response-code.ts";
import { TpmDevice } from "../../src/identity/tpm/tpm-device.ts";
import { tpmFailure } from "../../src/identity/tpm/tpm-failure.ts";
import { Tpm, type TpmSettings } from "../../src/identity/tpm/tpm.ts";
import { wrap } from "../cloud/dps-tpm.ts";
import { failureOf } from "../failure-of.ts";
import { RecordedTools } from "./recorded-tools.ts";
import { SoftTpm } from "./soft-tpm.ts";

const never = new AbortController().signal;
let soft: SoftTpm;

beforeEach(async () => {
  soft = await SoftTpm.start();
});
afterEach(async () => soft[Symbol.asyncDispose]());

async function openTpm(more: Partial<TpmSettings> = {}): Promise<TpmCredential> {
  return (await new TpmDevice(soft.open(more)).open(never)).credential;
}

const newKey = (tpm: TpmCredential) => wrap(tpm, randomBytes(32).toString("base64"));

/** Everything that a registration asks of the TPM. */
async function takeInAndSign(tpm: TpmCredential): Promise<number> {
  const wrapped = await tpm.takeIn(newKey(tpm), never);
  return (await tpm.keyOf(wrapped).hmac(randomBytes(70), never)).length;
}

/** Root may use any device, so the attempt is made as nobody (65534 on Debian) where the tests run as root. */
async function asNobody<T>(work: () => Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0) return work();
  process.seteuid?.(65_534);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}

function fileWith(name: string, content: string) {
  const path = join(soft.folder, name);
  writeFileSync(path, content, { mode: 0o600 });
  return [{ path, isCredential: false }];
}

describe("a TPM that cannot be reached is told by what is missing", () => {
  test("no device node", async () => {
    const failure = await failureOf(openTpm({ tcti: `device:${soft.folder}/tpmrm0` }));
    expect(failure).toMatchObject({ code: "identity/tpm-device-missing", remedy: "operator" });
    expect(failure.message).toMatch(/tpmrm0.*firmware.*modprobe tpm_tis/);
  });

  test("no permission: the group and the command are named", async () => {
    const device = join(soft.folder, "tpmrm0");
    writeFileSync(device, "", { mode: 0o600 });
    if (process.geteuid?.() !== 0) chmodSync(device, 0);
    for (const folder of [soft.folder, soft.workDirectory]) chmodSync(folder, 0o777);
    const failure = await asNobody(async () => failureOf(openTpm({ tcti: `device:${device}` })));
    expect(failure).toMatchObject({ code: "identity/tpm-no-permission", remedy: "operator" });
    expect(failure.message).toContain("usermod -aG tss latebind");
  });

  test("no tpm2-tools", async () => {
    const around = { workDirectory: soft.workDirectory, toolDirectory: soft.folder };
    const device = new TpmDevice(new Tpm(soft.settings(), around));
    const failure = await failureOf(device.open(never));
    expect(failure).toMatchObject({ code: "identity/tpm-tools-missing", remedy: "operator" });
    expect(failure.message).toContain("apt-get install tpm2-tools");
    expect(soft.leftovers()).toEqual([]);
  });

  test("no resource manager in the kernel, where it has the bare device", async () => {
    writeFileSync(join(soft.folder, "tpm0"), "");
    const failure = await failureOf(openTpm({ tcti: `device:${soft.folder}/tpmrm0` }));
    expect(failure).toMatchObject({ code: "identity/tpm-no-resource-manager", remedy: "operator" });
    expect(failure.message).toMatch(/tpm0 is there.*tpm2-abrmd/);
  });

  test("no resource manager of the name tabrmd", async () => {
    const failure = await failureOf(openTpm({ tcti: "tabrmd:" }));
    expect(failure).toMatchObject({ code: "identity/tpm-no-resource-manager", remedy: "operator" });
    expect(failure.message).toContain("systemctl enable --now tpm2-abrmd");
  });

  test("a device that does not speak as a TPM, and a simulator that is off, are tried again", async () => {
    const device = join(soft.folder, "tpmrm0");
    writeFileSync(device, "");
    expect(await failureOf(openTpm({ tcti: `device:${device}` }))).toMatchObject({
      code: "identity/tpm-unreachable",
      remedy: "retry",
    });
    await soft.powerOff();
    expect((await failureOf(openTpm())).code).toBe("identity/tpm-unreachable");
  });

  test("a tool that fails for a reason of its own is not blamed on the TPM", async () => {
    const work = soft.open().use(async (commands) => commands.run("import", ["--nonsense"]), never);
    const failure = await failureOf(work);
    expect(failure).toMatchObject({ code: "identity/tpm-tool-failed", remedy: "operator" });
  });
});

/** What tools leave behind whose session files are lost. @returns why there is no more. */
async function takeSessions(): Promise<string> {
  for (let taken = 0; taken < 100; taken += 1) {
    try {
      await soft.leave("startauthsession", "--policy-session", "-S", "lost.ctx");
    } catch (error) {
      return String(error);
    }
  }
  return "100 sessions are not enough to fill this TPM";
}

describe("a TPM whose sessions are all taken", () => {
  test("is freed of abandoned ones, and the registration goes on", async () => {
    const tpm = await openTpm();
    expect(await takeSessions()).toContain("0x905");
    expect(await takeInAndSign(tpm)).toBe(32);
    expect(await soft.handles("saved-session")).toEqual([]);
  }, 30_000);

  test("is told as such where that does not help", () => {
    const failure = tpmFailure("startauthsession", 0x905);
    expect(failure).toMatchObject({ code: "identity/tpm-out-of-sessions", remedy: "retry" });
    expect(failure.message).toContain("tpm2_getcap handles-saved-session");
  });
});

test("a TPM whose places for keys are all taken is freed of abandoned ones", async () => {
  const tpm = await openTpm();
  // Without a resource manager a tool leaves there what it loaded: three of them fill the TPM.
  for (const name of ["one", "two", "three"])
    await soft.leave("createprimary", "-C", "o", "-c", `${name}.ctx`);
  expect((await soft.handles("transient")).length).toBe(3);
  expect(await takeInAndSign(tpm)).toBe(32);
  expect(await soft.handles("transient")).toEqual([]);
});

describe("a TPM in dictionary-attack lockout", () => {
  const recoverySeconds = 1000;

  /** Tries a wrong value once, where one wrong value is one too many. */
  async function lockOut(): Promise<void> {
    const recovery = String(recoverySeconds);
    await soft.tool("dictionarylockout", "-s", "-n", "1", "-t", recovery, "-l", recovery);
    await soft.tool("createprimary", "-C", "o", "-p", "right", "-c", "guarded.ctx");
    await expect(
      soft.tool("create", "-C", "guarded.ctx", "-P", "wrong", "-u", "p", "-r", "q"),
    ).rejects.toThrow("0x98E");
    await soft.tool("flushcontext", "-t");
    expect(await soft.tool("getcap", "properties-variable")).toMatch(/inLockout:\s+1/);
  }

  test("takes keys in and signs all the same, for no key of ours counts towards it", async () => {
    const tpm = await openTpm();
    await lockOut();
    expect(await takeInAndSign(tpm)).toBe(32);
  });

  test("says when it ends, where somebody else's storage root key is under it", async () => {
    const attributes = "restricted|decrypt|fixedtpm|fixedparent|userwithauth|sensitivedataorigin";
    const template = ["-G", "rsa2048:aes128cfb", "-g", "sha256", "-a", attributes];
    await soft.tool("createprimary", "-C", "o", ...template, "-c", "srk.ctx");
    await soft.tool("evictcontrol", "-C", "o", "-c", "srk.ctx", "0x81000001");
    await soft.tool("flushcontext", "-t");
    const tpm = await openTpm();
    await lockOut();
    const failure = await failureOf(takeInAndSign(tpm));
    expect(failure).toMatchObject({ code: "identity/tpm-locked-out", remedy: "retry" });
    expect(failure.retryAfterMs).toBe(recoverySeconds * 1000);
    expect(failure.message).toMatch(/in 17 min at the latest/);
    await soft.tool("dictionarylockout", "-c");
    expect(await takeInAndSign(tpm)).toBe(32);
  });
});

describe("a TPM with authorization values", () => {
  test("registers where the value of the endorsement hierarchy is known, and says so where it is not", async () => {
    const ignorant = await openTpm();
    await soft.tool("changeauth", "-c", "e", "endorsement");
    await soft.tool("changeauth", "-c", "o", "owner");
    const failure = await failureOf(takeInAndSign(ignorant));
    expect(failure).toMatchObject({ code: "identity/tpm-authorization", remedy: "operator" });
    expect(failure.message).toContain("endorsement_auth");
    const knowing = await openTpm({ endorsementAuth: fileWith("e", "endorsement\n") });
    expect(await takeInAndSign(knowing)).toBe(32);
    expect(await soft.handles("loaded-session")).toEqual([]);
    expect(await soft.handles("saved-session")).toEqual([]);
    expect(soft.leftovers()).toEqual([]);
  });
});

test("what is secret stands in no argument of any process", async () => {
  const values = { owner: "owner-value", endorsement: "endorsement-value" };
  await soft.tool("changeauth", "-c", "e", values.endorsement);
  await soft.tool("changeauth", "-c", "o", values.owner);
  const settings = soft.settings({
    ownerAuth: fileWith("o", values.owner),
    endorsementAuth: fileWith("e", values.endorsement),
  });
  const tools = new RecordedTools(soft.folder);
  const around = { workDirectory: soft.workDirectory, toolDirectory: tools.directory };
  const { credential } = await new TpmDevice(new Tpm(settings, around)).open(never);
  const blob = newKey(credential);
  await credential.keyOf(await credential.takeIn(blob, never)).hmac(Buffer.from("token"), never);
  const recorded = tools.arguments;
  expect(recorded).toContain("file:owner.auth");
  expect(recorded).toContain("file:endorsement.auth");
  expect(recorded).toMatch(/tpm2_activatecredential .*-o inner/);
  const hex = Object.values(values).map((value) => Buffer.from(value).toString("hex"));
  for (const secret of [...Object.values(values), ...hex, blob.slice(0, 24)])
    expect(recorded).not.toContain(secret);
  expect(recorded).not.toMatch(/[0-9a-f]{32}/i);
});

describe("a TPM that was cleared or exchanged under a running agent", () => {
  test("is noticed by a key that is taken in, and by one that signs", async () => {
    const tpm = await openTpm();
    const wrapped = await tpm.takeIn(newKey(tpm), never);
    await soft.tool("clear");
    expect(await failureOf(tpm.keyOf(wrapped).hmac(Buffer.from("x"), never))).toMatchObject({
      code: "identity/changed",
      remedy: "reidentify",
    });
    const late = await openTpm();
    const forNow = newKey(late);
    await soft.tool("clear");
    expect((await failureOf(late.takeIn(forNow, never))).code).toBe("identity/changed");
  });
});

describe("a response code", () => {
  test("is read from the number that a tool prints, whatever else it says", () => {
    expect(readResponseCode("ERROR: Esys_HMAC(0x1DF) - tpm:parameter(1):integrity check failed")).toBe(0x1df);
    expect(readResponseCode("ERROR: Could not load tcti")).toBeUndefined();
  });

  test.each([
    [0x9a2, "identity/tpm-authorization"],
    [0x98e, "identity/tpm-authorization"],
    [0x921, "identity/tpm-locked-out"],
    [0x902, "identity/tpm-out-of-memory"],
    [0xb0902, "identity/tpm-out-of-memory"],
    [0x903, "identity/tpm-out-of-sessions"],
    [0x901, "identity/tpm-out-of-sessions"],
    [0x100, "identity/tpm-dead"],
    [0x1df, "identity/tpm-refused"],
    [0x7000b, "identity/tpm-refused"],
  ])("%i is %s", (code, expected) => {
    const failure = tpmFailure("load", code);
    expect(failure.code).toBe(expected);
    expect(failure.message).toContain(`tpm2_load: 0x${code.toString(16).toUpperCase()}`);
  });

  test.each([
    [0x1df, true],
    [0x18b, true],
    [0x101, true],
    [0x922, false],
    [0x90a, false],
    [0x000a000a, false],
  ])("%i finds fault with what the TPM was given: %s", (code, expected) => {
    expect(isAboutInput(code)).toBe(expected);
  });

  test("of failure is the death of the TPM only where nothing else is answered", () => {
    expect(tpmFailure("import", 0x101, { isDead: true }).code).toBe("identity/tpm-dead");
    expect(tpmFailure("import", 0x101, { isDead: false }).code).toBe("identity/tpm-refused");
  });
});
