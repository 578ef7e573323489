import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import tls from "node:tls";
import { promisify } from "node:util";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { terminal } from "../cli/terminal.ts";
import { selfSigned, type Credential } from "../identity/device-pki.ts";
import { SoftTpm } from "../identity/soft-tpm.ts";
import { makeKeyAtHandle, makeKeyFiles } from "../identity/tpm-tls-keys.ts";
import { Gateway } from "./gateway.ts";

/*
 * The whole way of a device whose private key is in its TPM, from the request for its certificate on.
 */
let root: Credential;
let line: Credential;
let soft: SoftTpm;
const newest = tls.DEFAULT_MAX_VERSION;

beforeAll(async () => {
  root = await selfSigned("Root");
  line = await root.issue("Line", { isAuthority: true });
});
beforeEach(async () => {
  soft = await SoftTpm.start();
});
afterEach(async () => {
  tls.DEFAULT_MAX_VERSION = newest;
  await soft[Symbol.asyncDispose]();
});

interface Row {
  readonly kind: "P-256" | "RSA-2048";
  readonly how: "individual" | "group";
  readonly version: "TLSv1.2" | "TLSv1.3";
  readonly place: "at a handle" | "in files";
}

const rows = (["P-256", "RSA-2048"] as const).flatMap((kind) =>
  (["individual", "group"] as const).flatMap((how) =>
    (["TLSv1.2", "TLSv1.3"] as const).map((version): Row => ({
      kind,
      how,
      version,
      place: how === "group" ? "in files" : "at a handle",
    })),
  ),
);

/** Makes the key in the TPM, and says where it is. */
async function makeKey({ kind, place }: Row): Promise<string> {
  if (place === "at a handle") return `tpm2:handle=${(await makeKeyAtHandle(soft, kind)).handle}`;
  const files = await makeKeyFiles(soft, kind);
  return `tpm2:public=${files.public[0]?.path ?? ""}&private=${files.private[0]?.path ?? ""}`;
}

/** Has the device ask for its certificate, and OpenSSL issue it. @returns the device's own, in PEM. */
async function certify(gateway: Gateway): Promise<string> {
  const config = join(gateway.folder, "etc", "config.toml");
  const { code, stdout, stderr } = await terminal(["identity", "csr", "--config", config]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const file = (name: string, content: string) => {
    writeFileSync(join(soft.folder, name), content);
    return name;
  };
  const authority = ["-CA", file("line.pem", line.certPem), "-CAkey", file("line.key", line.keyPem)];
  const issue = ["x509", "-req", "-in", file("device.csr", stdout), ...authority, "-days", "1"];
  await promisify(execFile)("openssl", [...issue, "-out", "leaf.pem"], { cwd: soft.folder });
  const leaf = readFileSync(join(soft.folder, "leaf.pem"), "utf8");
  writeFileSync(join(gateway.folder, "etc", "device.pem"), leaf + line.certPem);
  return leaf;
}

function enroll(cloud: Cloud, { how }: Row, id: string, leaf: string): void {
  const settings = { hub: "test", initialTwin: { desired: { site: { name: "Hall 7" } } } };
  if (how === "individual") {
    const attestation = { type: "x509", primary: leaf } as const;
    cloud.levers.enrollments.put({ registrationId: id, attestation, ...settings });
  } else {
    const attestation = { type: "x509" as const, signingCertificates: [root.certPem] };
    cloud.levers.enrollments.putGroup({ groupId: "factory", attestation, ...settings });
  }
}

function registrations(cloud: Cloud): number {
  return cloud.journal.events().filter(({ kind }) => kind === "register").length;
}

test.each(rows)(
  "with a $kind key in a TPM, $place, and an $how enrollment a device makes its whole way over $version",
  async (row) => {
    // For the cloud's sockets as well as for the agent's.
    tls.DEFAULT_MAX_VERSION = row.version;
    await using cloud = await startCloud({ pollAfterSeconds: 0 });
    const id = `gw-${randomBytes(4).toString("hex")}`;
    const uris = { key: await makeKey(row), certificate: "file:device.pem" };
    const more = `[tpm]\ntcti = "${soft.tcti}"\n`;
    await using gateway = new Gateway(cloud, {
      registrationId: id,
      uris,
      top: [`registration_id = "${id}"`],
      more,
    });
    enroll(cloud, row, id, await certify(gateway));

    await gateway.start();
    await gateway.connected();
    expect(gateway.site()).toEqual({ name: "Hall 7" });
    expect(cloud.levers.device("test", id).type).toBe("selfSigned");
    expect(gateway.events("identity.opened")[0]?.["custody"]).toMatch(
      /^TPM key (0x81000201|of .*device\.priv)$/,
    );

    await gateway.stop();
    gateway.health.length = 0;
    await gateway.start();
    await gateway.connected();
    expect(registrations(cloud)).toBe(1);
    await gateway.stop();
    for (const kind of ["transient", "loaded-session", "saved-session"])
      expect(await soft.handles(kind)).toEqual([]);
  },
);

test("a TPM that is gone ends no session, is named when it is missed, and heals by coming back", async () => {
  await using cloud = await startCloud({ pollAfterSeconds: 0 });
  const row: Row = { kind: "P-256", how: "individual", version: "TLSv1.3", place: "at a handle" };
  const id = `gw-${randomBytes(4).toString("hex")}`;
  const uris = { key: await makeKey(row), certificate: "file:device.pem" };
  const more = `[tpm]\ntcti = "${soft.tcti}"\n`;
  await using gateway = new Gateway(cloud, {
    registrationId: id,
    uris,
    top: [`registration_id = "${id}"`],
    more,
  });
  enroll(cloud, row, id, await certify(gateway));
  await gateway.start();
  await gateway.connected();

  await soft.powerOff();
  cloud.levers.patchTwin("test", id, { desired: { site: { name: "Hall 8" } } });
  await gateway.until(() => gateway.events("report.accepted").length > 1, "the open session still serves");
  gateway.health.length = 0;
  cloud.levers.dropConnection("test", id);
  await gateway.until(() => gateway.failures().includes("identity/tpm-unreachable"), "the TPM is missed");

  await soft.powerOn();
  await gateway.until(() => gateway.health.at(-1)?.at === "connected", "it is back", 30_000);
  expect(registrations(cloud)).toBe(1);
});
