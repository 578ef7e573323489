import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { openIdentity } from "../../src/agent/open-identity.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/config.ts";
import type { OpenIdentity } from "../../src/identity/identity.ts";
import { LazyTpm } from "../../src/identity/lazy-tpm.ts";
import { Pkcs11Tokens } from "../../src/identity/pkcs11/tokens.ts";
import { failureOf } from "../failure-of.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";

const never = new AbortController().signal;
const now = Date.now();
const tokens = new Pkcs11Tokens();

async function openAs(config: Config, hostName: string): Promise<OpenIdentity> {
  const tpm = new LazyTpm(config.tpm, { workDirectory: "/dev/shm" });
  return openIdentity(config, { hostName, nowMs: now, tokens, tpm }, never);
}

async function configIn(folder: TemporaryFolder, more = ""): Promise<Config> {
  writeFileSync(folder.join("key"), randomBytes(32).toString("base64"), { mode: 0o600 });
  writeFileSync(
    folder.join("config.toml"),
    `id_scope = "0ne00000001"\nkey = "file:${folder.join("key")}"\n${more}`,
  );
  const loaded = await loadConfig({ file: folder.join("config.toml"), stateDirectory: folder.path });
  if (loaded.status === "invalid") throw new Error(JSON.stringify(loaded.problems));
  return loaded.config;
}

test.each(["localhost", "LOCALHOST", "", "-.", "my host", "gerät", "gw.", "a".repeat(129), "gw/1"])(
  "the host name %j cannot serve as registration ID, and the message says what to do",
  async (hostName) => {
    using folder = new TemporaryFolder();
    const config = await configIn(folder);
    const error = await failureOf(openAs(config, hostName));
    expect(error).toMatchObject({ code: "identity/no-registration-id", remedy: "operator" });
    expect(error.message).toContain(`"${hostName}"`);
    expect(error.message).toContain("Set registration_id in the config");
  },
);

test("a host name serves in lower case, because keys are derived from the spelling", async () => {
  using folder = new TemporaryFolder();
  await using open = await openAs(await configIn(folder), "GW-7.Plant");
  expect(open.identity).toMatchObject({ registrationId: "gw-7.plant", attestation: "symmetric-key" });
});

test("what the operator spelled is taken as spelled, whatever the host is called", async () => {
  using folder = new TemporaryFolder();
  await using open = await openAs(await configIn(folder, 'registration_id = "GW-7"'), "localhost");
  expect(open.identity.registrationId).toBe("GW-7");
});

test("an identity is safe to log", async () => {
  using folder = new TemporaryFolder();
  await using open = await openAs(await configIn(folder), "gw-7");
  expect(Object.keys(open.identity).toSorted()).toEqual([
    "attestation",
    "credentialDigest",
    "custody",
    "registrationId",
    "warnings",
  ]);
});
