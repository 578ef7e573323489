import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readEndorsementKey, readStorageRootKey } from "../../src/identity/tpm/primary-keys.ts";
import { tpmRegistrationId } from "../../src/identity/tpm/registration-id.ts";
import type { Tpm } from "../../src/identity/tpm/tpm.ts";
import genuine from "../cloud/tpm-genuine.json" with { type: "json" };
import { failureOf } from "../failure-of.ts";
import { SoftTpm } from "./soft-tpm.ts";

let soft: SoftTpm;
const never = new AbortController().signal;

beforeEach(async () => {
  soft = await SoftTpm.start();
});
afterEach(async () => soft[Symbol.asyncDispose]());

async function keysOf(tpm: Tpm) {
  return tpm.use(async (commands) => {
    const ek = await readEndorsementKey(commands, tpm.settings);
    const srk = await readStorageRootKey(commands, tpm.settings);
    return { ek: ek.bytes.toString("base64"), srk: srk.bytes.toString("base64") };
  }, never);
}

async function publicAt(handle: string): Promise<string> {
  await soft.tool("readpublic", "-c", handle, "-o", "operator.pub");
  return readFileSync(join(soft.folder, "operator.pub")).toString("base64");
}

test("the registration ID is the one that Azure's own client derives from the same endorsement key", () => {
  expect(tpmRegistrationId(Buffer.from(genuine.endorsementKey, "base64"))).toBe(genuine.registrationId);
});

describe("the primary keys", () => {
  test("of a blank TPM are made once and stay at their handles, and nothing else is left behind", async () => {
    const first = await keysOf(soft.open());
    expect(first.ek).toMatch(/^AToAAQALAAMAsgAgg3GX/);
    expect(first.srk).toMatch(/^ARoAAQALAAMEcgAAAAYAgABD/);
    expect(await keysOf(soft.open())).toEqual(first);
    expect(await soft.handles("persistent")).toEqual(["0x81000001", "0x81010001"]);
    expect(await soft.handles("transient")).toEqual([]);
    expect(await soft.handles("loaded-session")).toEqual([]);
    expect(soft.leftovers()).toEqual([]);
  });

  test("of the TCG's template are those of tpm2_createek; Azure's SDKs make another endorsement key", async () => {
    await soft.tool("createek", "-G", "rsa", "-c", "0x81010002", "-u", "operator.pub");
    const { ek } = await keysOf(soft.open());
    expect(ek).toBe(await publicAt("0x81010002"));
    const azure = await keysOf(soft.open({ ekTemplate: "azure-sdk", ekHandle: "0x81010003" }));
    expect(azure.ek).toMatch(/^ADoAAQ|^AToAAQALAAMAsgAgg3GX/);
    expect(azure.ek).not.toBe(ek);
  });

  test("that lie at their handles are taken as they are, whatever the template says", async () => {
    const { ek } = await keysOf(soft.open({ ekTemplate: "azure-sdk" }));
    expect((await keysOf(soft.open({ ekTemplate: "tcg" }))).ek).toBe(ek);
  });

  test("are refused where an ECC key lies, and that key is left alone", async () => {
    await soft.tool("createprimary", "-C", "o", "-G", "ecc", "-c", "ecc.ctx");
    await soft.tool("evictcontrol", "-C", "o", "-c", "ecc.ctx", "0x81000001");
    await soft.tool("flushcontext", "-t");
    const before = await publicAt("0x81000001");
    const failure = await failureOf(keysOf(soft.open()));
    expect(failure).toMatchObject({ code: "identity/tpm-key-unsuitable", remedy: "operator" });
    expect(failure.message).toMatch(/ECC.*srk_handle.*0x81000002/);
    expect(await publicAt("0x81000001")).toBe(before);
    await keysOf(soft.open({ srkHandle: "0x81000002" }));
  });

  test("survive a loss of power; clearing the TPM changes the storage root key alone", async () => {
    const before = await keysOf(soft.open());
    await soft.powerOff();
    await soft.powerOn();
    expect(await keysOf(soft.open())).toEqual(before);
    await soft.tool("clear");
    const after = await keysOf(soft.open());
    expect(after.ek).toBe(before.ek);
    expect(after.srk).not.toBe(before.srk);
  });
});

function fileWith(name: string, content: string, mode = 0o600) {
  const path = join(soft.folder, name);
  writeFileSync(path, content, { mode });
  return [{ path, isCredential: false }];
}

describe("authorization values of the hierarchies", () => {
  const owner = "owner value";
  const endorsement = "endorsement: value";

  beforeEach(async () => {
    await soft.tool("changeauth", "-c", "o", owner);
    await soft.tool("changeauth", "-c", "e", endorsement);
  });

  test("that are set and not known are told as such", async () => {
    const failure = await failureOf(keysOf(soft.open()));
    expect(failure).toMatchObject({ code: "identity/tpm-authorization", remedy: "operator" });
    expect(failure.message).toContain("owner_auth or endorsement_auth");
    const wrong = { ownerAuth: fileWith("o", "x"), endorsementAuth: fileWith("e", "y") };
    expect((await failureOf(keysOf(soft.open(wrong)))).code).toBe("identity/tpm-authorization");
  });

  test("come from files that nobody else may read", async () => {
    const missing = { endorsementAuth: [{ path: join(soft.folder, "nowhere"), isCredential: false }] };
    expect((await failureOf(keysOf(soft.open(missing)))).code).toBe("identity/tpm-authorization-missing");
    const open = { endorsementAuth: fileWith("e", endorsement, 0o644) };
    expect((await failureOf(keysOf(soft.open(open)))).code).toBe("identity/tpm-authorization-unusable");
    const empty = { endorsementAuth: fileWith("empty", "\n") };
    expect((await failureOf(keysOf(soft.open(empty)))).code).toBe("identity/tpm-authorization-unusable");
  });

  test("that are known make the same keys", async () => {
    const known = { ownerAuth: fileWith("o", `${owner}\n`), endorsementAuth: fileWith("e", endorsement) };
    const { ek } = await keysOf(soft.open(known));
    expect(ek).toMatch(/^AToAAQALAAMAsgAgg3GX/);
    expect(soft.leftovers()).toEqual([]);
  });
});

describe("the TPM", () => {
  test("is used by one piece of work at a time, in their order", async () => {
    const tpm = soft.open();
    const seen: string[] = [];
    const piece = async (name: string) =>
      tpm.use(async (commands) => {
        seen.push(`${name} begins`);
        await commands.run("getrandom", ["--hex", "8"]);
        seen.push(`${name} ends`);
      }, never);
    await Promise.all([piece("first"), piece("second"), piece("third")]);
    expect(seen).toEqual(["first", "second", "third"].flatMap((name) => [`${name} begins`, `${name} ends`]));
  });

  test("goes on with the next piece of work when one failed or was called off", async () => {
    const tpm = soft.open();
    const broken = tpm.use(async (commands) => commands.run("readpublic", ["-c", "0x81000001"]), never);
    expect((await failureOf(broken)).code).toBe("identity/tpm-refused");
    const late = new AbortController();
    const calledOff = tpm.use(async () => "done", late.signal);
    late.abort(new Error("called off"));
    await expect(calledOff).rejects.toThrow("called off");
    expect(await tpm.use(async () => "done", never)).toBe("done");
  });
});
