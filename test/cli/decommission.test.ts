import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isAgentRunning } from "../../src/cli/running-agent.ts";
import { createLog } from "../../src/platform/log.ts";
import { openStore } from "../../src/platform/store.ts";
import { ControlServer } from "../control/control-server.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";
import { terminal } from "./terminal.ts";

let folder: TemporaryFolder;
const ours = [
  "device.a.json",
  "device.a.json.damaged-1763798400000-a1b2c3",
  "history.b.json.tmp-0123456789ab",
  "journal.1.jsonl",
  "journal.jsonl",
  "line.a.json",
  "names.b.json",
];
const foreign = [
  "assignment.c.json",
  "device.a.json.orig",
  "history.json",
  "notes.txt",
  "tpm-0x01c00002.json",
];

beforeEach(async () => {
  folder = new TemporaryFolder();
  for (const name of ["state", "cache", "run", "etc"]) mkdirSync(folder.join(name));
  for (const name of [...ours, ...foreign]) writeFileSync(folder.join("state", name), "{}");
  mkdirSync(folder.join("state/line.b.json"));
  writeFileSync(folder.join("etc/elsewhere"), "mine");
  symlinkSync(folder.join("etc/elsewhere"), folder.join("state/names.a.json"));
  writeFileSync(folder.join("cache/code-0123456789abcdef-node24.1.0"), "code");
  writeFileSync(folder.join("cache/other"), "");
  writeFileSync(folder.join("etc/config.toml"), 'id_scope = "0ne000A0B1C"\n');
  writeFileSync(folder.join("etc/device.key"), "c2VjcmV0LXNlY3JldA==", { mode: 0o600 });
  const log = createLog({ write: () => {} }, "error");
  await openStore(folder.join("state"), "assignment", (value) => value, log).write({ current });
});
afterEach(() => folder[Symbol.dispose]());

const current = {
  hub: "plant-7.azure-devices.net",
  deviceId: "GW-7",
  assignedAtMs: 1_763_798_400_000,
  payload: { password: "topsecret" },
  madeFrom: {
    idScope: "0ne000A0B1C",
    endpoint: "e",
    registrationId: "gw-7",
    attestation: "symmetric-key",
    credentialDigest: "digest-of-key",
  },
};

const env = () => ({
  STATE_DIRECTORY: folder.join("state"),
  CACHE_DIRECTORY: folder.join("cache"),
  RUNTIME_DIRECTORY: folder.join("run"),
});
const decommission = async (...more: readonly string[]) =>
  terminal(["decommission", "--config", folder.join("etc/config.toml"), ...more], { env: env() });
const state = () => readdirSync(folder.join("state"));

/** Root may do anything; nobody (65534 on Debian) may not. */
async function asNobody<T>(work: () => Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0) return work();
  process.seteuid?.(65_534);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}

describe("latebind decommission", () => {
  it("refuses while the agent runs, and says how to stop it for good", async () => {
    await using server = await ControlServer.open();
    const before = state();
    const { code, stdout, stderr } = await terminal(
      ["decommission", "--yes", "--config", folder.join("etc/config.toml")],
      { env: { ...env(), RUNTIME_DIRECTORY: server.folder.path } },
    );
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/nothing was removed.*systemctl disable --now latebind \[cli\/agent-running\]\n$/);
    expect(state()).toEqual(before);
  });

  it("says what it cannot remove, and why, where it has no right to", async () => {
    letOthersLook();
    const mayNotWrite = await asNobody(async () => decommission("--yes", "--json"));
    expect(mayNotWrite.code).toBe(1);
    expect(JSON.parse(mayNotWrite.stdout)).toMatchObject({ isComplete: false });
    expect(mayNotWrite.stdout).toContain("removing it fails (EACCES). Run this as root");
    expect(state()).toContain("journal.jsonl");
  });

  it("removes nothing where it may not even look", async () => {
    letOthersLook();
    chmodSync(folder.join("state"), 0o700);
    const { code, stdout, stderr } = await asNobody(async () => decommission("--yes"));
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/Nothing was removed. Run this as root \[cli\/state-not-readable\]\n$/);
  });

  it("only lists without --yes", async () => {
    const before = state();
    const { code, stdout } = await decommission();
    expect(code).toBe(0);
    for (const name of ours) expect(stdout).toContain(folder.join("state", name));
    expect(stdout).toMatch(/Nothing was changed\. To remove it: latebind decommission --yes\n$/);
    expect(state()).toEqual(before);
  });

  it("removes exactly what is ours and prints a receipt without secrets", async () => {
    const { code, stdout, stderr } = await decommission("--yes");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(
      /^This device is out of service\.\nTime +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\n/,
    );
    expect(stdout).toMatch(
      /^Registration ID +gw-7\nLast hub +plant-7\.azure-devices\.net\nDevice ID +GW-7$/m,
    );
    expect(stdout).toContain(`${folder.join("etc/device.key")}: it is the administrator's`);
    expect(stdout).not.toMatch(/topsecret|c2VjcmV0|digest-of-key/);
    expect(state()).toEqual([...foreign, "line.b.json", "names.a.json"].toSorted());
    expect(readdirSync(folder.join("cache"))).toEqual(["other"]);
    expect(readFileSync(folder.join("etc/elsewhere"), "utf8")).toBe("mine");
    expect(existsSync(folder.join("etc/device.key"))).toBe(true);
  });

  it("prints nothing that steers a terminal, whatever lies in the agent's folders", async () => {
    writeFileSync(folder.join("state", "a\u001b[2J"), "");
    const { stdout } = await decommission();
    expect(stdout).toContain("a\\u001b[2J: it is not latebind's");
    expect(stdout).not.toContain("\u001b");
  });

  it("may be given again", async () => {
    await decommission("--yes");
    const { code, stdout } = await decommission("--yes", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ isComplete: true, items: [] });
  });
});

/** Others may read all there is, but for the key file, and write nothing. */
function letOthersLook(): void {
  for (const name of [".", "state", "cache", "run", "etc"]) chmodSync(folder.join(name), 0o755);
  chmodSync(folder.join("state/assignment.a.json"), 0o644);
}

describe("who asks whether the agent runs", () => {
  it.each([
    ["active", true],
    ["activating", true],
    ["inactive", false],
    ["failed", false],
    ["unknown", false],
  ])("takes systemd's %s for %s", async (word, isRunning) => {
    writeFileSync(folder.join("systemctl"), `#!/bin/sh\necho ${word}\nexit 3\n`, { mode: 0o755 });
    expect(await isAgentRunning(folder.join("run/control.sock"), folder.join("systemctl"))).toBe(isRunning);
  });

  it("needs no systemd", async () => {
    expect(await isAgentRunning(folder.join("run/control.sock"), folder.join("none"))).toBe(false);
  });
});
