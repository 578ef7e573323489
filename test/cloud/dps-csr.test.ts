import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import { connectToDps, dpsTopics, parseAnswer, type FinalAnswer } from "./test-device.ts";
import { httpsDevice, type HttpsDevice } from "./test-dps-https.ts";

let cloud: Cloud;
let key: string;
let csr: string;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0 });
  cloud.levers.setPace({ pollsPer10Seconds: 1000 });
  await cloud.levers.credentialPolicies.put("factory", 7);
  key = cloud.levers.enrollments.put({ registrationId: "gateway-1", credentialPolicy: "factory" }).primaryKey;
  csr = createCsr("gateway-1");
});
afterAll(async () => cloud[Symbol.asyncDispose]());

const preview = "2025-07-01-preview";

function createCsr(commonName: string, key = ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]): string {
  const args = ["req", "-new", "-newkey", ...key, "-nodes", "-keyout", "/dev/null", "-outform", "DER"];
  return execFileSync("openssl", [...args, "-subj", `/CN=${commonName}`], { stdio: "pipe" }).toString(
    "base64",
  );
}

function asking(registrationId: string, deviceKey: string, apiVersion: string): HttpsDevice {
  return httpsDevice(cloud, registrationId, deviceKey, { apiVersion });
}

function chainIn({ registrationState }: FinalAnswer): X509Certificate[] {
  const chain: unknown = registrationState?.["issuedCertificateChain"] ?? [];
  if (!Array.isArray(chain)) throw new Error("a chain that is no list");
  return chain.map((der) => new X509Certificate(Buffer.from(String(der), "base64")));
}

describe("a register call with a csr is refused with 400040 and the reason when the csr", () => {
  it.each([
    ["is no base64", "FailedToDecodeCsr", () => "-----BEGIN CERTIFICATE REQUEST-----"],
    ["is no PKCS#10", "FailedToDecodeCsr", () => "AAAA"],
    ["is longer than 8 KiB", "CsrTooLong", () => "A".repeat(8196)],
    ["is for another device", "CommonNameMismatch", () => createCsr("gateway-2")],
    ["has an RSA key", "UnsupportedKey", () => createCsr("gateway-1", ["rsa:2048"])],
  ])("%s", async (_name, credentialError, make) => {
    const { status, body } = await asking("gateway-1", key, preview).register({ csr: make() });
    expect(status).toBe(400);
    expect(JSON.parse(body)).toMatchObject({ errorCode: 400040, info: { credentialError } });
    expect(cloud.levers.registrations()).toEqual([]);
  });
});

describe("a device gets no certificate", () => {
  it.each([
    ["without a policy behind its enrollment", {}],
    ["under a policy that was never made", { credentialPolicy: "nowhere" }],
  ])("%s", async (_name, spec) => {
    const { primaryKey } = cloud.levers.enrollments.put({ registrationId: "plain", ...spec });
    const { body } = await asking("plain", primaryKey, preview).provision({ csr: createCsr("plain") });
    expect([body.status, chainIn(body)]).toEqual(["assigned", []]);
    expect(cloud.levers.device("test", "plain")).toMatchObject({ type: "sas" });
  });

  it("with an api-version that knows nothing of them, or without asking", async () => {
    for (const [apiVersion, body] of [
      ["2021-06-01", { csr }],
      [preview, {}],
    ] as const) {
      const answer = await asking("gateway-1", key, apiVersion).provision(body);
      expect([answer.body.status, chainIn(answer.body)]).toEqual(["assigned", []]);
    }
  });

  it("from a lookup, which refuses the csr as well", async () => {
    const device = asking("gateway-1", key, preview);
    await device.provision({ csr });
    expect((await device.lookup({ csr })).status).toBe(400);
    expect((await device.lookup()).body).not.toContain("issuedCertificateChain");
  });

  it("while its enrollment is disabled", async () => {
    cloud.levers.enrollments.change("gateway-1", { enabled: false });
    const { body } = await asking("gateway-1", key, preview).provision({ csr });
    expect([body.status, chainIn(body)]).toEqual(["disabled", []]);
    cloud.levers.enrollments.change("gateway-1", { enabled: true });
  });
});

describe("a device that asks for a certificate", () => {
  it.each([preview, "2026-11-01", "2026-11-02-preview"])(
    "gets one under its policy (%s)",
    async (apiVersion) => {
      const { body } = await asking("gateway-1", key, apiVersion).provision({ csr });
      const [leaf, intermediate, root, ...more] = chainIn(body);
      if (leaf === undefined || intermediate === undefined || root === undefined)
        throw new Error("too short");
      expect([leaf.subject, more]).toEqual(["CN=gateway-1", []]);
      expect(leaf.verify(intermediate.publicKey) && intermediate.verify(root.publicKey)).toBe(true);
      const expected = new X509Certificate(cloud.levers.credentialPolicies.get("factory").rootPem);
      expect(root.fingerprint256).toBe(expected.fingerprint256);
      expect(cloud.levers.device("test", "gateway-1")).toMatchObject({ type: "ca" });
      const profile = body.registrationState?.["connectionProfile"];
      expect(profile).toBe(apiVersion === "2026-11-02-preview" ? "classic" : undefined);
    },
  );

  it("gets one over MQTT too, and a new one with every registration", async () => {
    const username = `${cloud.idScope}/registrations/gateway-1/api-version=${preview}`;
    await using device = await connectToDps(cloud, "gateway-1", key, { username });
    await device.client.subscribeAsync(dpsTopics.answers, { qos: 1 });
    const serials: (string | undefined)[] = [];
    for (let round = 1; round <= 2; round += 1) {
      const first = await device.ask(dpsTopics.register, JSON.stringify({ csr }));
      const final = await device.ask(dpsTopics.poll(parseAnswer(first.body).operationId ?? ""));
      serials.push(chainIn(parseAnswer(final.body))[0]?.serialNumber);
    }
    expect(new Set(serials).size).toBe(2);
    expect(serials).not.toContain(undefined);
  });

  it("is at its hub by key again after a registration without a csr", async () => {
    await asking("gateway-1", key, preview).provision({ csr });
    await asking("gateway-1", key, preview).provision({});
    expect(cloud.levers.device("test", "gateway-1")).toMatchObject({ type: "sas" });
  });
});

it("a policy can be made over the admin API, and only with days that the service knows", async () => {
  const put = async (body: object): Promise<Response> =>
    fetch(`${cloud.adminUrl}/credential-policies/by-hand`, { method: "PUT", body: JSON.stringify(body) });
  expect((await put({ validityDays: 91 })).status).toBe(400);
  expect(await (await put({ validityDays: 14 })).json()).toMatchObject({ name: "by-hand", validityDays: 14 });
  expect(cloud.levers.credentialPolicies.list().map(({ name }) => name)).toContain("by-hand");
});
