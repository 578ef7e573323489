import { createHmac, randomBytes, X509Certificate } from "node:crypto";
import tls from "node:tls";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { systemClock, type Clock } from "../../src/platform/time.ts";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { selfSigned, type Credential } from "../identity/device-pki.ts";
import { SoftHsm } from "../identity/soft-hsm.ts";
import { Gateway } from "./gateway.ts";

/*
 * The whole way of a device whose key is in a PKCS#11 token: the cloud checks real signatures and real certificates.
 */
let root: Credential;
let line: Credential;
let hsm: SoftHsm;
const newest = tls.DEFAULT_MAX_VERSION;
const device = { label: "device", id: "01" };
const initialTwin = { desired: { site: { name: "Hall 7" } } };

beforeAll(async () => {
  root = await selfSigned("Root");
  line = await root.issue("Line", { isAuthority: true });
});
beforeEach(() => {
  hsm = new SoftHsm();
});
afterEach(() => {
  tls.DEFAULT_MAX_VERSION = newest;
  hsm[Symbol.dispose]();
});

/** The waits between attempts pass 50 times as fast; what is set for longer, as the renewal of tokens, does not. */
const hurried: Clock = {
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic(),
  sleep: async (ms, signal) => systemClock.sleep(ms < 5 * 60_000 ? ms / 50 : ms, signal),
};

interface Row {
  readonly kind: "HMAC" | "RSA-2048" | "P-256" | "P-384";
  readonly how: "individual" | "group";
  readonly version: "TLSv1.2" | "TLSv1.3";
  readonly transport: "MQTT" | "HTTPS" | "WebSocket";
  /** Where the certificate is. */
  readonly place: "token" | "file" | "none";
}

const rows: readonly Row[] = (["HMAC", "RSA-2048", "P-256"] as const).flatMap((kind) =>
  (["individual", "group"] as const).flatMap((how) =>
    (["TLSv1.2", "TLSv1.3"] as const).map((version): Row => {
      const place = kind === "HMAC" ? "none" : how === "group" ? "token" : "file";
      return { kind, how, version, transport: "MQTT", place };
    }),
  ),
);
const more: readonly Row[] = [
  { kind: "P-384", how: "individual", version: "TLSv1.3", transport: "HTTPS", place: "token" },
  { kind: "RSA-2048", how: "group", version: "TLSv1.3", transport: "HTTPS", place: "file" },
  { kind: "HMAC", how: "individual", version: "TLSv1.3", transport: "WebSocket", place: "none" },
  { kind: "P-256", how: "individual", version: "TLSv1.2", transport: "WebSocket", place: "file" },
  { kind: "P-256", how: "group", version: "TLSv1.3", transport: "WebSocket", place: "token" },
  { kind: "RSA-2048", how: "group", version: "TLSv1.2", transport: "WebSocket", place: "token" },
];

/** Makes the key, puts it into the token, enrols the device, and sets the machine up. */
async function install(cloud: Cloud, row: Row): Promise<Gateway> {
  const id = `gw-${randomBytes(4).toString("hex")}`;
  const key = hsm.uri("object=device");
  const over = { overHttps: row.transport === "HTTPS", overWebSocket: row.transport === "WebSocket" };
  const options = { registrationId: id, ...over, clock: hurried };
  if (row.kind === "HMAC") {
    enrollKey(cloud, row.how, id);
    return new Gateway(cloud, { ...options, uris: { key } });
  }
  const credential = await line.issue(id, { kind: row.kind });
  enrollCertificate(cloud, row.how, id, credential);
  hsm.addKeyPair(credential.keyPem, device);
  if (row.place === "file") return new Gateway(cloud, { ...options, credential, uris: { key } });
  hsm.addCertificate(der(credential), device);
  hsm.addCertificate(der(line), { label: "line", id: "02" });
  return new Gateway(cloud, { ...options, uris: { key, certificate: key } });
}

function enrollKey(cloud: Cloud, how: Row["how"], id: string): void {
  const enrolled = randomBytes(32);
  const settings = { hub: "test", initialTwin, primaryKey: enrolled.toString("base64") };
  const { enrollments } = cloud.levers;
  if (how === "individual") enrollments.put({ registrationId: id, ...settings });
  else enrollments.putGroup({ groupId: "factory", ...settings });
  hsm.addSecret(how === "individual" ? enrolled : createHmac("sha256", enrolled).update(id).digest(), device);
}

function enrollCertificate(cloud: Cloud, how: Row["how"], id: string, { certPem }: Credential): void {
  const settings = { hub: "test", initialTwin };
  const { enrollments } = cloud.levers;
  if (how === "individual") {
    enrollments.put({ registrationId: id, attestation: { type: "x509", primary: certPem }, ...settings });
  } else {
    const attestation = { type: "x509" as const, signingCertificates: [root.certPem] };
    enrollments.putGroup({ groupId: "factory", attestation, ...settings });
  }
}

function der({ certPem }: Credential): Buffer {
  return new X509Certificate(certPem).raw;
}

function move(cloud: Cloud, how: Row["how"], id: string): void {
  if (how === "individual") cloud.levers.moveEnrollment(id, "production");
  else cloud.levers.enrollments.changeGroup("factory", { hub: "production" });
  cloud.levers.deleteDevice("test", id);
}

function registrations(cloud: Cloud): number {
  return cloud.journal.events().filter(({ kind }) => kind === "register").length;
}

test.each([...rows, ...more])(
  "with a $kind key in a token, certificate: $place, and an $how enrollment a device makes its whole way over $version and $transport",
  async (row) => {
    // For the cloud's sockets as well as for the agent's.
    tls.DEFAULT_MAX_VERSION = row.version;
    await using cloud = await startCloud({ pollAfterSeconds: 0 });
    await using gateway = await install(cloud, row);
    const id = gateway.registrationId;

    await gateway.start();
    await gateway.connected();
    expect(gateway.site()).toEqual({ name: "Hall 7" });
    expect(cloud.levers.device("test", id).type).toBe(row.kind === "HMAC" ? "sas" : "selfSigned");
    expect(gateway.events("identity.opened")[0]?.["custody"]).toMatch(
      /^PKCS#11 key "device" in the token "gateway" \(serial /,
    );

    await gateway.stop();
    gateway.health.length = 0;
    await gateway.start();
    await gateway.connected();
    expect(registrations(cloud)).toBe(1);

    move(cloud, row.how, id);
    await gateway.until(() => gateway.lastHealth.includes(cloud.hub("production").host), "it moved", 20_000);
    await gateway.connected();
    expect(registrations(cloud)).toBe(2);
    expect(cloud.levers.twin("production", id).reported.properties["site"]).toMatchObject({ ac: 200 });
  },
);

test.each([
  { kind: "HMAC", place: "none" },
  { kind: "P-256", place: "token" },
] as const)(
  "with a $kind key, a token that is pulled ends no session, is named when it is missed, and heals by being put back",
  async ({ kind, place }) => {
    await using cloud = await startCloud({ pollAfterSeconds: 0 });
    const row: Row = { kind, place, how: "individual", version: "TLSv1.3", transport: "MQTT" };
    await using gateway = await install(cloud, row);
    const id = gateway.registrationId;
    await gateway.start();
    await gateway.connected();

    hsm.unplug();
    cloud.levers.patchTwin("test", id, { desired: { site: { name: "Hall 8" } } });
    await gateway.until(() => gateway.events("report.accepted").length > 1, "the open session still serves");
    expect(gateway.site()).toEqual({ name: "Hall 8" });

    gateway.health.length = 0;
    cloud.levers.dropConnection("test", id);
    await gateway.until(() => gateway.failures().includes("identity/token-missing"), "the token is missed");
    await gateway.until(() => gateway.lastHealth.includes("Tokens found: none"), "the status says so");
    expect(gateway.lastHealth).toMatch(/before that, the open session failed: C_\w+: CKR_\w+/);

    hsm.plugIn();
    await gateway.connected();
    expect(registrations(cloud)).toBe(1);
  },
);
