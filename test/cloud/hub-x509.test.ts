import { X509Certificate } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import { askAdmin } from "./test-admin.ts";
import { connectToHub, refusalOf, twinTopics } from "./test-device.ts";
import { connectWithCertificate } from "./test-hub-device.ts";
import { createRoot, createSelfSigned, type TestAuthority, type TestCredential } from "./test-pki.ts";

let cloud: Cloud;
let root: TestAuthority;
let factory: TestAuthority;
let solo: TestCredential;
let spare: TestCredential;

beforeAll(async () => {
  cloud = await startCloud();
  root = await createRoot("Root");
  factory = await root.intermediate("Factory");
  solo = await createSelfSigned("anything");
  spare = await createSelfSigned("anything");
  cloud.levers.hub("test").caCertificates.put("root", root.certPem, true);
  cloud.levers.putDevice("test", "solo", {
    auth: {
      type: "selfSigned",
      primaryThumbprint: sha256Of(solo),
      secondaryThumbprint: sha256Of(spare),
    },
  });
  cloud.levers.putDevice("test", "member", { auth: { type: "ca" } });
  cloud.levers.putDevice("test", "keyed", {});
});
afterEach(() => cloud.levers.setClockOffset(0));
afterAll(async () => cloud[Symbol.asyncDispose]());

function sha256Of({ certPem }: TestCredential): string {
  return new X509Certificate(certPem).fingerprint256.replaceAll(":", "");
}

function sha1Of({ certPem }: TestCredential): string {
  return new X509Certificate(certPem).fingerprint.replaceAll(":", "");
}

async function codeFor(
  deviceId: string,
  credential: Pick<TestCredential, "chainPem" | "keyPem">,
): Promise<number> {
  return refusalOf(connectWithCertificate(cloud, deviceId, credential));
}

describe("a hub refuses with 5", () => {
  it("neither password nor certificate, also for a device that has one", async () => {
    for (const id of ["solo", "member", "keyed"]) {
      expect(await refusalOf(connectToHub(cloud, "test", id, "", { password: "" }))).toBe(5);
    }
  });

  it("any certificate for a device with keys, and for one that is not there", async () => {
    expect(await codeFor("keyed", await root.leaf("keyed"))).toBe(5);
    expect(await codeFor("stranger", await root.leaf("stranger"))).toBe(5);
  });

  it("a token for a device with certificates, also beside the right one", async () => {
    const key = Buffer.from(sha256Of(solo), "hex").toString("base64");
    expect(await refusalOf(connectToHub(cloud, "test", "solo", key))).toBe(5);
    const { certPem: cert, keyPem } = solo;
    const place = cloud.hub("test");
    const password = `SharedAccessSignature sr=${place.host}%2Fdevices%2Fsolo&sig=eA%3D%3D&se=9999999999`;
    expect(await refusalOf(connectToHub(cloud, "test", "solo", "", { password, cert, key: keyPem }))).toBe(5);
  });

  it("a certificate with another thumbprint", async () => {
    expect(await codeFor("solo", await createSelfSigned("solo"))).toBe(5);
    expect(await codeFor("solo", await root.leaf("solo"))).toBe(5);
  });

  it("a known certificate before its time and after it", async () => {
    for (const days of [-366, 366]) {
      cloud.levers.setClockOffset(days * 86_400_000);
      expect(await codeFor("solo", solo)).toBe(5);
    }
  });

  it.each<[string, () => Promise<Pick<TestCredential, "chainPem" | "keyPem">>]>([
    ["another device's certificate", async () => root.leaf("member-2")],
    ["the common name in other letters", async () => root.leaf("Member")],
    ["a certificate that signed itself", async () => createSelfSigned("member")],
    ["one under a CA that nobody uploaded", async () => (await createRoot("Other")).leaf("member")],
    ["one under a CA of the same name", async () => (await createRoot("Root")).leaf("member")],
    ["one that has run out", async () => root.leaf("member", { toDays: -1 })],
    ["one that is not valid yet", async () => root.leaf("member", { fromDays: 1 })],
    [
      "one under an intermediate that has run out",
      async () => (await root.intermediate("Old", { toDays: -1 })).leaf("member"),
    ],
    [
      "a leaf without the intermediate above it",
      async () => {
        const { certPem, keyPem } = await factory.leaf("member");
        return { chainPem: certPem, keyPem };
      },
    ],
    [
      "a leaf with an intermediate that did not issue it",
      async () => {
        const { certPem, keyPem } = await factory.leaf("member");
        const { chainPem } = await (await root.intermediate("Factory")).leaf("member");
        return {
          chainPem: certPem + chainPem.slice(chainPem.indexOf("-----END")).replace(/^.*\n/, ""),
          keyPem,
        };
      },
    ],
  ])("under a CA %s", async (_name, make) => {
    expect(await codeFor("member", await make())).toBe(5);
  });

  it("a certificate of a CA that is unverified, or was taken away", async () => {
    const { caCertificates } = cloud.levers.hub("test");
    const later = await createRoot("Later");
    caCertificates.put("later", later.certPem);
    expect(await codeFor("member", await later.leaf("member"))).toBe(5);
    caCertificates.put("later", later.certPem, true);
    expect(await codeFor("member", await later.leaf("member"))).toBe(0);
    caCertificates.delete("later");
    expect(await codeFor("member", await later.leaf("member"))).toBe(5);
  });

  it("a certificate of another hub's CA", async () => {
    cloud.levers.putDevice("production", "member", { auth: { type: "ca" } });
    const { chainPem: cert, keyPem } = await root.leaf("member");
    const attempt = connectToHub(cloud, "production", "member", "", { password: "", cert, key: keyPem });
    expect(await refusalOf(attempt)).toBe(5);
  });

  it("a disabled device", async () => {
    cloud.levers.setDeviceEnabled("test", "solo", false);
    expect(await codeFor("solo", solo)).toBe(5);
    cloud.levers.setDeviceEnabled("test", "solo", true);
    expect(await codeFor("solo", solo)).toBe(0);
  });
});

describe("a hub accepts", () => {
  it("either thumbprint, whatever the certificate says", async () => {
    expect(await codeFor("solo", solo)).toBe(0);
    expect(await codeFor("solo", spare)).toBe(0);
  });

  it("a thumbprint in SHA-1 and in small letters", async () => {
    cloud.levers.putDevice("test", "portal", {
      auth: { type: "selfSigned", secondaryThumbprint: sha1Of(solo).toLowerCase() },
    });
    expect(await codeFor("portal", solo)).toBe(0);
    expect(await codeFor("portal", spare)).toBe(5);
  });

  it("a leaf straight under the root, or with the intermediates that lead to it", async () => {
    expect(await codeFor("member", await root.leaf("member"))).toBe(0);
    const line = await factory.intermediate("Line");
    expect(await codeFor("member", await line.leaf("member"))).toBe(0);
  });

  it("a leaf under an intermediate that was itself uploaded, without anything above", async () => {
    const plant = await (await createRoot("Elsewhere")).intermediate("Plant");
    cloud.levers.hub("test").caCertificates.put("plant", plant.certPem, true);
    const { certPem, keyPem } = await plant.leaf("member");
    expect(await codeFor("member", { chainPem: certPem, keyPem })).toBe(0);
  });

  it("a CA whose key an operator has shown to have", async () => {
    const own = await createRoot("Own");
    const path = "/hubs/test/ca-certificates/own";
    await askAdmin(cloud, "PUT", path, { certificate: own.certPem });
    const { body } = await askAdmin(cloud, "POST", `${path}/verification-code`);
    const code = /"([0-9A-F]{48})"/.exec(JSON.stringify(body))?.[1] ?? "";
    const forged = (await (await createRoot("Own")).leaf(code)).certPem;
    expect((await askAdmin(cloud, "POST", `${path}/verify`, { certificate: forged })).status).toBe(400);
    expect(await codeFor("member", await own.leaf("member"))).toBe(5);
    const { certPem: certificate } = await own.leaf(code);
    expect(await askAdmin(cloud, "POST", `${path}/verify`, { certificate })).toMatchObject({
      status: 200,
      body: { isVerified: true },
    });
    expect(await codeFor("member", await own.leaf("member"))).toBe(0);
  });

  it("a certificate over WebSocket, with an open connection beyond its last day", async () => {
    const { host, httpsPort } = cloud.hub("test");
    await using device = await connectWithCertificate(cloud, "solo", solo, {
      protocol: "wss",
      host,
      port: httpsPort,
      path: "/$iothub/websocket",
      wsOptions: { ca: cloud.caPem, cert: solo.certPem, key: solo.keyPem },
    });
    await device.client.subscribeAsync(twinTopics.answers, { qos: 1 });
    cloud.levers.setClockOffset(366 * 86_400_000);
    expect((await device.ask(twinTopics.get)).status).toBe(200);
    expect(await codeFor("solo", solo)).toBe(5);
    expect(device.client.connected).toBe(true);
  });
});
