import { execFile } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import { describeTpm } from "../../src/identity/tpm/describe-tpm.ts";
import { readEndorsementKey, readStorageRootKey } from "../../src/identity/tpm/primary-keys.ts";
import { tpmRegistrationId } from "../../src/identity/tpm/registration-id.ts";
import type { Tpm } from "../../src/identity/tpm/tpm.ts";
import { manufactureTpm } from "../identity/manufacture-tpm.ts";
import { SoftTpm } from "../identity/soft-tpm.ts";
import { startSimulatorBridge } from "./simulator-bridge.ts";
import { startScript } from "./start-script.ts";

const never = new AbortController().signal;

beforeAll(async () => {
  // Says what it misses, and is over at once when everything is there.
  await promisify(execFile)("sh", [".ci/ready", "interop"], { cwd: join(import.meta.dirname, "../..") });
}, 180_000);

interface Keys {
  readonly endorsementKey: string;
  readonly storageRootKey: string;
  readonly registrationId: string;
}

/** What Azure's own client says of the TPM; it makes the keys that are missing and puts them at their handles. */
async function azureSays(soft: SoftTpm): Promise<Keys> {
  await using bridge = await startSimulatorBridge(join(soft.folder, "socket"));
  await using script = startScript("tpm-keys.mjs", { TPM_PORT: String(bridge.port) });
  const { endorsementKey, storageRootKey, registrationId } = await script.until("keys");
  return {
    endorsementKey: String(endorsementKey),
    storageRootKey: String(storageRootKey),
    registrationId: String(registrationId),
  };
}

/** What the agent registers with; it, too, puts the keys at their handles. */
async function agentSays(tpm: Tpm): Promise<Keys> {
  return tpm.use(async (commands) => {
    const { bytes: ek } = await readEndorsementKey(commands, tpm.settings);
    const { bytes: srk } = await readStorageRootKey(commands, tpm.settings);
    return {
      endorsementKey: ek.toString("base64"),
      storageRootKey: srk.toString("base64"),
      registrationId: tpmRegistrationId(ek),
    };
  }, never);
}

describe("endorsement key, storage root key and registration ID are those of Azure's own client", () => {
  test("in a blank TPM, whose keys the agent foretells and Azure's client makes", async () => {
    await using soft = await SoftTpm.start();
    const foretold = await describeTpm(soft.open({ ekTemplate: "azure-sdk" }), never);
    const otherTemplate = await describeTpm(soft.open({ ekTemplate: "tcg" }), never);
    expect(await soft.handles("persistent")).toEqual([]);
    const azure = await azureSays(soft);
    expect(foretold).toMatchObject(azure);
    expect(otherTemplate.endorsementKey).not.toBe(azure.endorsementKey);
    expect(await agentSays(soft.open({ ekTemplate: "tcg" }))).toEqual(azure);
  });

  test.each(["tcg", "azure-sdk"] as const)(
    "in a TPM whose keys the agent has made from the template %s",
    async (ekTemplate) => {
      await using soft = await SoftTpm.start();
      const foretold = await describeTpm(soft.open({ ekTemplate }), never);
      const made = await agentSays(soft.open({ ekTemplate }));
      expect(foretold).toMatchObject(made);
      expect(await azureSays(soft)).toEqual(made);
      expect(await describeTpm(soft.open(), never)).toMatchObject(made);
    },
  );

  test("in a TPM as it comes from the factory, whose maker vouches for that very key", async () => {
    await using soft = await SoftTpm.start(manufactureTpm);
    const found = await describeTpm(soft.open(), never);
    expect(await azureSays(soft)).toEqual({
      endorsementKey: found.endorsementKey,
      storageRootKey: found.storageRootKey,
      registrationId: found.registrationId,
    });
    expect(await agentSays(soft.open())).toEqual(await azureSays(soft));
    expect(found.endorsementCertificate).toBeInstanceOf(X509Certificate);
    const certified = found.endorsementCertificate?.publicKey.export({ format: "jwk" });
    const modulus = Buffer.from(found.endorsementKey, "base64").subarray(-256);
    expect(certified?.n).toBe(modulus.toString("base64url"));
  });
});
