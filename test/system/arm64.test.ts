import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startCloud } from "../cloud/cloud.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";
import { buildPackages } from "./packages.ts";

const run = promisify(execFile);
const folder = new TemporaryFolder();
const tree = folder.join("tree");
const place = join(tree, "usr/lib/latebind");

/** The package's programs on an emulated processor, with the libraries of Debian's cross compiler. */
const emulator = ["-L", "/usr/aarch64-linux-gnu", join(place, "node")] as const;
const emulate = async (...args: readonly string[]) =>
  (await run("qemu-aarch64-static", [...emulator, ...args])).stdout.trim();

beforeAll(async () => {
  const { agent, runtime } = await buildPackages(folder.join("debs"), "quick", "arm64");
  for (const deb of [agent, runtime]) await run("dpkg-deb", ["--extract", deb, tree]);
});

afterAll(() => {
  folder[Symbol.dispose]();
});

/** e_machine of an ELF header is 183 (EM_AARCH64) at byte 18. */
function machineOf(file: string): number | undefined {
  const bytes = readFileSync(file);
  return bytes.subarray(0, 4).toString("latin1") === "\u007FELF" ? bytes.readUInt16LE(18) : undefined;
}

it("every program and library in the packages for arm64 is for arm64", () => {
  const machines = readdirSync(tree, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => machineOf(join(entry.parentPath, entry.name)))
    .filter((machine) => machine !== undefined);
  expect(machines).toEqual([183, 183, 183]);
});

it("the runtime loads both native parts", async () => {
  const parts = [join(place, "tls-signer.node"), join(place, "node_modules/pkcs11js")].map((part) =>
    JSON.stringify(part),
  );
  const script = `require(${parts[0]}); new (require(${parts[1]}).PKCS11)(); console.log(process.arch)`;
  expect(await emulate("-e", script)).toBe("arm64");
});

it("the agent provisions and connects", async () => {
  await using cloud = await startCloud({ pollAfterSeconds: 1 });
  const key = randomBytes(32).toString("base64");
  cloud.levers.enrollments.put({ registrationId: "arm-gateway", primaryKey: key });
  mkdirSync(folder.join("state"));
  writeFileSync(folder.join("device.key"), key, { mode: 0o600 });
  writeFileSync(folder.join("ca.pem"), cloud.caPem);
  writeFileSync(
    folder.join("config.toml"),
    `id_scope = "${cloud.idScope}"
registration_id = "arm-gateway"
[provisioning]
endpoint = "${cloud.dps.host}"
[tls]
trust_bundle = "${folder.join("ca.pem")}"
`,
  );
  const agent = spawn(
    "qemu-aarch64-static",
    [...emulator, join(place, "latebind.cjs"), "run", "--config", folder.join("config.toml")],
    {
      stdio: ["ignore", "inherit", "inherit"],
      env: { PATH: process.env["PATH"], STATE_DIRECTORY: folder.join("state") },
    },
  );
  try {
    const connect = await cloud.waitFor(
      (event) => event.kind === "connect" && event.endpoint === "test" && event.returnCode === 0,
      60_000,
    );
    expect(connect).toMatchObject({ clientId: "arm-gateway" });
  } finally {
    const ended = once(agent, "exit");
    agent.kill("SIGTERM");
    expect(await ended).toEqual([0, null]);
  }
});
