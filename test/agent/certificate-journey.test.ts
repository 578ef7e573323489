import { randomBytes } from "node:crypto";
import { once } from "node:events";
import tls from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { selfSigned, type Credential } from "../identity/device-pki.ts";
import { Gateway } from "./gateway.ts";

let root: Credential;
let line: Credential;

beforeAll(async () => {
  root = await selfSigned("Root");
  line = await (await root.issue("Factory", { isAuthority: true })).issue("Line", { isAuthority: true });
});

const initialTwin = { desired: { site: { name: "Hall 7" } } };

/** Enrols by the certificate itself, or by the authority above its issuer. */
function enroll(cloud: Cloud, how: "individual" | "group", id: string, credential: Credential): void {
  const settings = { hub: "test", initialTwin };
  const { enrollments } = cloud.levers;
  if (how === "individual") {
    const attestation = { type: "x509", primary: credential.certPem } as const;
    enrollments.put({ registrationId: id, attestation, ...settings });
  } else {
    const signingCertificates = [root.certPem];
    enrollments.putGroup({
      groupId: "factory",
      attestation: { type: "x509", signingCertificates },
      ...settings,
    });
  }
}

function move(cloud: Cloud, how: "individual" | "group", id: string): void {
  if (how === "individual") cloud.levers.moveEnrollment(id, "production");
  else cloud.levers.enrollments.changeGroup("factory", { hub: "production" });
  cloud.levers.deleteDevice("test", id);
}

const individualOrGroup = ["individual", "group"] as const;
const rows = (["RSA-2048", "P-256"] as const).flatMap((kind) =>
  individualOrGroup.flatMap((how) => [
    { kind, how, transport: "mqtt" } as const,
    { kind, how, transport: "https" } as const,
    { kind, how, transport: "websocket" } as const,
  ]),
);

describe.each(["TLSv1.2", "TLSv1.3"] as const)("over %s", (version) => {
  const newest = tls.DEFAULT_MAX_VERSION;
  beforeAll(() => {
    // For the sockets of both sides.
    tls.DEFAULT_MAX_VERSION = version;
  });
  afterAll(() => {
    tls.DEFAULT_MAX_VERSION = newest;
  });

  test.concurrent.each([...rows, { kind: "P-384", how: "individual", transport: "mqtt" } as const])(
    "a device with a $kind key and an $how enrollment makes its whole way over $transport",
    async ({ kind, how, transport }) => {
      await using cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
      expect(await negotiated(cloud)).toBe(version);
      const id = `gw-${randomBytes(4).toString("hex")}`;
      const credential = await line.issue(id, { kind });
      enroll(cloud, how, id, credential);
      const overHttps = transport === "https";
      const overWebSocket = transport === "websocket";
      await using gateway = new Gateway(cloud, { registrationId: id, credential, overHttps, overWebSocket });
      if (overWebSocket) closePort8883(cloud);

      await gateway.start();
      await gateway.connected();
      expect(gateway.site()).toEqual({ name: "Hall 7" });
      expect(cloud.levers.device("test", id).type).toBe("selfSigned");
      expect(gateway.lastHealth).toMatch(/^connected to .*; certificate holds until \d{4}-\d\d-\d\d$/);

      await gateway.stop();
      gateway.health.length = 0;
      await gateway.start();
      await gateway.connected();
      expect(registrations(cloud)).toBe(1);

      move(cloud, how, id);
      const { host } = cloud.hub("production");
      await gateway.until(() => gateway.lastHealth.includes(`connected to ${host}`), "it moved", 20_000);
      expect(registrations(cloud)).toBe(2);
      expect(cloud.levers.twin("production", id).reported.properties["site"]).toMatchObject({ ac: 200 });
      expect(wordsWithDps(cloud)).toBe(transport === "https" ? "https" : "mqtt");
    },
  );
});

/** What is left is WebSocket. */
function closePort8883(cloud: Cloud): void {
  const isThere = { at: "connection", port: 8883 } as const;
  cloud.faults.add({ when: isThere, do: { act: "drop", how: "reset" }, times: "always" });
}

/** The TLS version that a client gets here which takes any. */
async function negotiated({ dps, caPem }: Cloud): Promise<string | null> {
  const socket = tls.connect({ host: dps.host, port: dps.port, ca: caPem });
  await once(socket, "secureConnect");
  const version = socket.getProtocol();
  socket.destroy();
  return version;
}

function registrations(cloud: Cloud): number {
  return cloud.journal.events().filter(({ kind }) => kind === "register").length;
}

/** How DPS was spoken with. */
function wordsWithDps(cloud: Cloud): string {
  const atDps = cloud.journal.events().filter(({ endpoint }) => endpoint === "dps");
  const kinds = new Set(atDps.map(({ kind }) => kind));
  return [...(kinds.has("connect") ? ["mqtt"] : []), ...(kinds.has("https") ? ["https"] : [])].join(" and ");
}
