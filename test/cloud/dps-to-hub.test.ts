import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import { connectToHub, refusalOf } from "./test-device.ts";
import { connectClient, type Transport } from "./test-dps-client.ts";
import { httpsDevice } from "./test-dps-https.ts";
import { createRoot, createSelfSigned, type TestCredential } from "./test-pki.ts";

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0 });
});
afterAll(async () => cloud[Symbol.asyncDispose]());

type Shown = Pick<TestCredential, "chainPem" | "keyPem">;

/** The CONNACK code of the hub for this certificate. */
async function knock(deviceId: string, { chainPem, keyPem }: Shown): Promise<number> {
  return refusalOf(connectToHub(cloud, "test", deviceId, "", { password: "", cert: chainPem, key: keyPem }));
}

async function provisionWith(
  transport: Transport,
  id: string,
  { chainPem, keyPem }: Shown,
): Promise<unknown> {
  await using client = await connectClient(cloud, transport, id, { cert: chainPem, certKey: keyPem });
  return (await client.provision()).body.status;
}

describe.each(["MQTT", "HTTPS"] as const)("a device that came through DPS over %s", (transport) => {
  const name = (what: string): string => `${what}-${transport.toLowerCase()}`;

  it("by its own certificate connects with either of the two that are enrolled and with no third", async () => {
    const id = name("solo");
    const [primary, secondary, third] = [
      await createSelfSigned(id),
      await createSelfSigned(id),
      await createSelfSigned(id),
    ];
    const attestation = { type: "x509", primary: primary.certPem, secondary: secondary.certPem } as const;
    cloud.levers.enrollments.put({ registrationId: id, attestation });
    expect(await knock(id, primary)).toBe(5);
    expect(await provisionWith(transport, id, primary)).toBe("assigned");
    expect([await knock(id, primary), await knock(id, secondary), await knock(id, third)]).toEqual([0, 0, 5]);
  });

  it("by a group's authority connects with the certificate it showed, and after rolling with the next only", async () => {
    const id = name("member");
    const factory = await (await createRoot("Root")).intermediate("Factory");
    const signingCertificates = [factory.certPem];
    cloud.levers.enrollments.putGroup({
      groupId: name("group"),
      attestation: { type: "x509", signingCertificates },
    });
    const [first, next] = [await factory.leaf(id), await factory.leaf(id)];
    await provisionWith(transport, id, first);
    expect([await knock(id, first), await knock(id, next)]).toEqual([0, 5]);
    await provisionWith(transport, id, next);
    expect([await knock(id, first), await knock(id, next)]).toEqual([5, 0]);
  });
});

it("a certificate that DPS has issued opens the hub, its onboarding key does not, and another device's does not", async () => {
  await cloud.levers.credentialPolicies.put("factory");
  const onboard = async (registrationId: string): Promise<Shown & { readonly key: string }> => {
    const { primaryKey } = cloud.levers.enrollments.put({ registrationId, credentialPolicy: "factory" });
    const { csr, keyPem } = createCsr(registrationId);
    const device = httpsDevice(cloud, registrationId, primaryKey, { apiVersion: "2025-07-01-preview" });
    const { body } = await device.provision({ csr });
    const chain: unknown = body.registrationState?.["issuedCertificateChain"];
    if (!Array.isArray(chain)) throw new Error("no chain was issued");
    // The root is the hub's own business.
    const chainPem = chain
      .slice(0, -1)
      .map((der) => pemOf(String(der)))
      .join("");
    return { chainPem, keyPem, key: primaryKey };
  };
  const [mine, others] = [await onboard("issued-1"), await onboard("issued-2")];
  expect(await knock("issued-1", mine)).toBe(0);
  expect(await knock("issued-1", others)).toBe(5);
  expect(await refusalOf(connectToHub(cloud, "test", "issued-1", mine.key))).toBe(5);
  await cloud.levers.credentialPolicies.put("factory");
  expect(await knock("issued-1", mine)).toBe(5);
});

function createCsr(commonName: string): { readonly csr: string; readonly keyPem: string } {
  const folder = mkdtempSync(join(tmpdir(), "latebind-csr-"));
  const keyFile = join(folder, "key.pem");
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes", "-keyout", keyFile];
  const der = execFileSync(
    "openssl",
    ["req", "-new", ...key, "-outform", "DER", "-subj", `/CN=${commonName}`],
    {
      stdio: "pipe",
    },
  );
  const keyPem = readFileSync(keyFile, "utf8");
  rmSync(folder, { recursive: true });
  return { csr: der.toString("base64"), keyPem };
}

function pemOf(derBase64: string): string {
  return `-----BEGIN CERTIFICATE-----\n${derBase64.replaceAll(/.{64}/g, "$&\n")}\n-----END CERTIFICATE-----\n`;
}
