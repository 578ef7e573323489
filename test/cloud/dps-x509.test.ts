import { X509Certificate } from "node:crypto";
import { Agent } from "node:https";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import { textMatching } from "./matchers.ts";
import { connectToDps, dpsTopics, parseAnswer, refusalOf, type FinalAnswer } from "./test-device.ts";
import { httpsDevice } from "./test-dps-https.ts";
import { createRoot, createSelfSigned, type TestAuthority, type TestCredential } from "./test-pki.ts";

let cloud: Cloud;
let root: TestAuthority;
let factory: TestAuthority;
let line: TestAuthority;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0 });
  root = await createRoot("Root");
  factory = await root.intermediate("Factory");
  line = await factory.intermediate("Line");
});
afterAll(async () => cloud[Symbol.asyncDispose]());

type Shown = Pick<TestCredential, "chainPem" | "keyPem">;

/** Over MQTT the connection must be accepted whatever the certificate is worth. */
async function overMqtt(registrationId: string, { chainPem, keyPem }: Shown): Promise<FinalAnswer> {
  await using device = await connectToDps(cloud, registrationId, "", {
    password: "",
    cert: chainPem,
    key: keyPem,
  });
  await device.client.subscribeAsync(dpsTopics.answers, { qos: 1 });
  let answer = await device.ask(dpsTopics.register, JSON.stringify({ registrationId }));
  while (answer.status === 202) {
    answer = await device.ask(dpsTopics.poll(parseAnswer(answer.body).operationId ?? ""));
  }
  return { ...parseAnswer(answer.body), ...(answer.status === 200 ? {} : { status: String(answer.status) }) };
}

async function overHttps(registrationId: string, { chainPem, keyPem }: Shown): Promise<FinalAnswer> {
  const device = httpsDevice(cloud, registrationId, undefined, { cert: chainPem, key: keyPem });
  const { status, body } = await device.provision();
  return { ...body, ...(status === 200 ? {} : { status: String(status) }) };
}

const transports = [
  ["MQTT", overMqtt],
  ["HTTPS", overHttps],
] as const;

function enroll(registrationId: string, primary: TestCredential, secondary?: TestCredential): void {
  cloud.levers.enrollments.put({
    registrationId,
    attestation: {
      type: "x509",
      primary: primary.certPem,
      ...(secondary === undefined ? {} : { secondary: secondary.certPem }),
    },
  });
}

function enrollGroup(groupId: string, signer: TestAuthority): void {
  cloud.levers.enrollments.putGroup({
    groupId,
    attestation: { type: "x509", signingCertificates: [signer.certPem] },
  });
}

it("a CONNECT without a password and without a certificate is refused with 5", async () => {
  expect(await refusalOf(connectToDps(cloud, "x", "", { password: "" }))).toBe(5);
});

describe.each(transports)("over %s an individual enrollment", (_transport, provision) => {
  it("refuses another certificate for the same name, also one with the same key usage and issuer", async () => {
    enroll("solo", await root.leaf("solo"));
    for (const other of [await root.leaf("solo"), await createSelfSigned("solo")]) {
      expect(await provision("solo", other)).toMatchObject({ status: "401", errorCode: 401002 });
    }
  });

  it("refuses its own certificate under a wrong name, before its time and after it", async () => {
    const wrong = await createSelfSigned("somebody else");
    enroll("solo", wrong);
    expect(await provision("solo", wrong)).toMatchObject({ errorCode: 401002, message: "Unauthorized" });
    for (const validity of [{ toDays: -1 }, { fromDays: 1 }]) {
      const untimely = await createSelfSigned("solo", validity);
      enroll("solo", untimely);
      expect(await provision("solo", untimely)).toMatchObject({ message: "Invalid certificate." });
    }
  });

  it("refuses a certificate where a key is enrolled, and a certificate of nobody with 404201", async () => {
    cloud.levers.enrollments.put({ registrationId: "keyed" });
    expect(await provision("keyed", await createSelfSigned("keyed"))).toMatchObject({ errorCode: 401002 });
    expect(await provision("nobody", await createSelfSigned("nobody"))).toMatchObject({ errorCode: 404201 });
  });

  it("admits its primary and its secondary certificate and gives the hub the thumbprints of both", async () => {
    const [primary, secondary] = [await createSelfSigned("solo"), await root.leaf("SOLO")];
    enroll("solo", primary, secondary);
    for (const credential of [primary, secondary]) {
      const { registrationState } = await provision("solo", credential);
      const leaf = new X509Certificate(credential.certPem);
      expect(registrationState).toMatchObject({
        status: "assigned",
        x509: {
          certificateInfo: {
            subjectName: leaf.subject,
            sha1Thumbprint: leaf.fingerprint.replaceAll(":", ""),
            sha256Thumbprint: leaf.fingerprint256.replaceAll(":", ""),
            issuerName: leaf.issuer,
            notBeforeUtc: textMatching(/Z$/),
            notAfterUtc: textMatching(/Z$/),
            serialNumber: leaf.serialNumber,
            version: 3,
          },
        },
      });
    }
    expect(cloud.levers.device("test", "solo")).toMatchObject({
      deviceId: "solo",
      enabled: true,
      type: "selfSigned",
      primaryThumbprint: thumbprint(primary),
      secondaryThumbprint: thumbprint(secondary),
    });
  });
});

describe.each(transports)("over %s an enrollment group", (transport, provision) => {
  it.each<[string, () => Promise<Shown>]>([
    ["a sibling's certificate", async () => (await root.intermediate("Sibling")).leaf("dev-1")],
    ["an impostor with the same names", async () => (await impostor()).leaf("dev-1")],
    [
      "a leaf without its intermediate",
      async () => {
        const { certPem, keyPem } = await line.leaf("dev-1");
        return { chainPem: certPem, keyPem };
      },
    ],
    ["a self-signed certificate", async () => createSelfSigned("dev-1")],
    ["a leaf that another device has issued", async () => (await line.rogue("dev-2")).leaf("dev-1")],
    ["a leaf of another, with a genuine chain behind it", async () => withForeignChain()],
  ])("refuses %s", async (_name, make) => {
    enrollGroup("factory", factory);
    expect(await provision("dev-1", await make())).toMatchObject({
      status: "401",
      errorCode: 401002,
      message: "CA certificate not found.",
    });
  });

  it("refuses a wrong CN, and a chain of which any part is not valid now", async () => {
    enrollGroup("factory", factory);
    expect(await provision("dev-1", await line.leaf("dev-2"))).toMatchObject({ message: "Unauthorized" });
    const expiredLine = await factory.intermediate("Old line", { toDays: -1 });
    const futureLine = await factory.intermediate("Next line", { fromDays: 1 });
    for (const shown of [
      await line.leaf("dev-1", { toDays: -1 }),
      await line.leaf("dev-1", { fromDays: 1 }),
      await expiredLine.leaf("dev-1"),
      await futureLine.leaf("dev-1"),
    ]) {
      expect(await provision("dev-1", shown)).toMatchObject({
        errorCode: 401002,
        message: "Invalid certificate.",
      });
    }
    const expired = await root.intermediate("Expired factory", { toDays: -1 });
    enrollGroup("expired", expired);
    expect(await provision("dev-1", await expired.leaf("dev-1"))).toMatchObject({
      message: "Invalid certificate.",
    });
    cloud.levers.enrollments.deleteGroup("expired");
  });

  it("admits a device through one intermediate or two, by the nearest group", async () => {
    const id = `near-${transport.toLowerCase()}`;
    enrollGroup("factory", factory);
    const shown = await line.leaf(id);
    const state = async (): Promise<unknown> => (await provision(id, shown)).registrationState;
    expect(await state()).toMatchObject({
      status: "assigned",
      deviceId: id,
      x509: { enrollmentGroupId: "factory", signingCertificateInfo: { subjectName: "CN=Factory" } },
    });
    enrollGroup("line", line);
    expect(await state()).toMatchObject({ x509: { enrollmentGroupId: "line" } });
    cloud.levers.enrollments.changeGroup("line", { enabled: false });
    expect(await state()).toMatchObject({ status: "disabled" });
    cloud.levers.enrollments.deleteGroup("line");
    expect(cloud.levers.device("test", id)).toMatchObject({
      type: "selfSigned",
      primaryThumbprint: thumbprint(shown),
    });
  });

  it("is not asked when there is an individual enrollment, be it for another certificate", async () => {
    enrollGroup("factory", factory);
    enroll("special", await createSelfSigned("special"));
    expect(await provision("special", await line.leaf("special"))).toMatchObject({ errorCode: 401002 });
  });
});

it.each(["TLSv1.2", "TLSv1.3"] as const)(
  "a device that would resume its %s session shows its chain again",
  async (maxVersion) => {
    enrollGroup("factory", factory);
    const { chainPem, keyPem } = await line.leaf("resuming");
    const agent = new Agent({ maxCachedSessions: 10 });
    const shown = { cert: chainPem, key: keyPem, agent, maxVersion };
    const device = httpsDevice(cloud, "resuming", undefined, shown);
    for (let round = 1; round <= 2; round += 1) expect((await device.register()).status).toBe(202);
    agent.destroy();
  },
);

describe("an uploaded CA", () => {
  it("counts only once somebody has shown possession of its key", async () => {
    const { levers } = cloud;
    for (const { groupId } of levers.enrollments.groups()) levers.enrollments.deleteGroup(groupId);
    levers.enrollments.putGroup({ groupId: "ours", attestation: { type: "x509", caReferences: ["ours"] } });
    expect(await statusOf("pop-1")).toBe("404");
    levers.caCertificates.put("ours", root.certPem);
    expect(await statusOf("pop-1")).toBe("404");

    const proof = async (commonName: string, signer = root): Promise<string> =>
      (await signer.leaf(commonName)).certPem;
    const verify = (pem: string): boolean => levers.verifyCaCertificate("ours", pem).isVerified;
    expect(() => verify(root.certPem)).toThrow("ask for a verification code first");
    const first = levers.caCertificates.createVerificationCode("ours");
    const code = levers.caCertificates.createVerificationCode("ours");
    const byAnother = await proof(code, await createRoot("Root"));
    const tooOld = (await root.leaf(code, { toDays: -1 })).certPem;
    const stale = await proof(first);
    expect(() => verify(stale)).toThrow("CN is not the verification code");
    expect(() => verify(byAnother)).toThrow("not issued by this CA");
    expect(() => verify(tooOld)).toThrow("not valid now");
    expect(await statusOf("pop-1")).toBe("404");

    expect(verify(await proof(code))).toBe(true);
    expect(await statusOf("pop-1")).toBe("assigned");
    levers.caCertificates.delete("ours");
    expect(await statusOf("pop-2")).toBe("404");
  });

  it("must be the certificate of a CA", async () => {
    const { certPem } = await root.leaf("device");
    expect(() => cloud.levers.caCertificates.put("leaf", certPem)).toThrow("not that of a CA");
    expect(() => cloud.levers.caCertificates.put("junk", "junk")).toThrow("not a certificate");
  });

  it("goes through the same steps over the admin API", async () => {
    expect(await callAdmin("PUT", "", { certificate: root.certPem })).toMatchObject({ isVerified: false });
    const answer = await callAdmin("POST", "/verification-code");
    const code = /"([0-9A-F]{48})"/.exec(JSON.stringify(answer))?.[1] ?? "";
    const { certPem } = await root.leaf(code);
    expect(await callAdmin("POST", "/verify", { certificate: certPem })).toMatchObject({
      name: "by-hand",
      subject: "CN=Root",
      isVerified: true,
    });
  });
});

async function impostor(): Promise<TestAuthority> {
  return (await createRoot("Root")).intermediate("Factory");
}

async function withForeignChain(): Promise<Shown> {
  const { certPem, keyPem } = await createSelfSigned("dev-1");
  const { chainPem } = await line.leaf("dev-1");
  return { keyPem, chainPem: certPem + chainPem };
}

async function statusOf(registrationId: string): Promise<string | undefined> {
  return (await overHttps(registrationId, await line.leaf(registrationId))).status;
}

async function callAdmin(method: string, path: string, body?: object): Promise<unknown> {
  const answer = await fetch(`${cloud.adminUrl}/ca-certificates/by-hand${path}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return answer.json();
}

function thumbprint({ certPem }: Pick<TestCredential, "certPem">): string {
  return new X509Certificate(certPem).fingerprint256.replaceAll(":", "");
}
