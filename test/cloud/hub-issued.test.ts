import { X509Certificate } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { JsonObject } from "./json.ts";
import { anyText, textWith } from "./matchers.ts";
import { askAdmin } from "./test-admin.ts";
import { createCsr } from "./test-csr.ts";
import type { TestDevice } from "./test-device.ts";
import { certificateAnswers, connectWithCertificate } from "./test-hub-device.ts";
import {
  answerTo,
  isSilent,
  previewUsername,
  request,
  startIssuing,
  type Applicant,
  type IssuingCloud,
} from "./test-issuance.ts";

let issuing: IssuingCloud;
let applicant: Applicant;
let id: string;
let csr: string;

beforeAll(async () => {
  issuing = await startIssuing();
});
beforeEach(async () => {
  applicant = await issuing.applicant();
  ({ deviceId: id, csr } = applicant);
});
afterEach(() => issuing.reset());
afterAll(async () => issuing[Symbol.asyncDispose]());

/** Long enough to act before the result, which comes when the clock is moved. */
const signingMs = 3_600_000;
const sign = (): void => issuing.cloud.levers.setClockOffset(signingMs);

/** Asks, hears the 202 and goes; the certificate is made while the device is away. */
async function askAndLeave(overrides: Parameters<Applicant["connect"]>[0] = {}): Promise<void> {
  await using device = await applicant.listen(overrides);
  await request(device, "1234", { id, csr });
  expect((await answerTo(device, "1234")).status).toBe(202);
  await leave(device);
  sign();
}

/** Without a DISCONNECT, until the hub knows. */
async function leave(device: TestDevice): Promise<void> {
  const { lastSeq } = issuing.cloud.journal;
  await device.client.endAsync(true);
  await issuing.cloud.waitFor(({ kind }) => kind === "disconnect", 2000, lastSeq);
}

describe("a result", () => {
  beforeEach(() => issuing.settings.change({ signingMs }));

  it("waits for a kept session, which need not subscribe again", async () => {
    await askAndLeave();
    await using device = await applicant.connect();
    expect((await answerTo(device, "1234")).status).toBe(200);
  });

  it("waits for a clean session to subscribe", async () => {
    await askAndLeave({ clean: true });
    await using device = await applicant.connect({ clean: true });
    expect(await isSilent(device)).toBe(true);
    await device.client.subscribeAsync(certificateAnswers, { qos: 1 });
    expect((await answerTo(device, "1234")).status).toBe(200);
  });

  it("is withheld from a device that has unsubscribed, until it subscribes", async () => {
    await using device = await applicant.listen();
    await request(device, "1234", { id, csr });
    expect((await answerTo(device, "1234")).status).toBe(202);
    await device.client.unsubscribeAsync(certificateAnswers);
    sign();
    expect(await isSilent(device)).toBe(true);
    await device.client.subscribeAsync(certificateAnswers, { qos: 1 });
    expect((await answerTo(device, "1234")).status).toBe(200);
  });

  it("reaches a device that subscribed only after asking; its 202 does not", async () => {
    await using device = await applicant.connect();
    await request(device, "1234", { id, csr });
    await device.client.subscribeAsync(certificateAnswers, { qos: 1 });
    expect(await isSilent(device)).toBe(true);
    sign();
    expect((await answerTo(device, "1234")).status).toBe(200);
  });

  it("comes again until it was acknowledged, and not after that", async () => {
    await askAndLeave();
    const { lastSeq } = issuing.cloud.journal;
    {
      await using stubborn = await applicant.connect({ customHandleAcks: (): void => {} });
      await issuing.cloud.waitFor(
        (event) => event.kind === "certificate" && event.status === 200,
        2000,
        lastSeq,
      );
      await leave(stubborn);
    }
    {
      await using device = await applicant.connect();
      expect((await answerTo(device, "1234")).status).toBe(200);
      await device.client.endAsync();
    }
    await using device = await applicant.listen();
    expect(await isSilent(device)).toBe(true);
  });

  it("does not keep a session out that comes back with an older api-version", async () => {
    await askAndLeave();
    const username = previewUsername(issuing.cloud, id, "2021-04-12");
    {
      await using old = await applicant.connect({ username });
      expect(await isSilent(old)).toBe(true);
    }
    await using device = await applicant.listen();
    expect((await answerTo(device, "1234")).status).toBe(200);
  });

  it("dies with the device", async () => {
    await askAndLeave();
    issuing.cloud.levers.deleteDevice("test", id);
    issuing.cloud.levers.putDevice("test", id, { auth: { type: "ca" } });
    await using device = await applicant.listen();
    expect(await isSilent(device)).toBe(true);
  });
});

describe("an issued certificate", () => {
  it.each(["P-384", "P-256"])("for a key on %s connects the device, and can be renewed", async (curve) => {
    const { csr, keyPem } = await createCsr(id, curve);
    await using device = await applicant.listen();
    await request(device, "1234", { id, csr });
    expect((await answerTo(device, "1234")).status).toBe(202);
    const { status, body } = await answerTo(device, "1234");
    expect({ status, correlationId: body["correlationId"] }).toEqual({ status: 200, correlationId: anyText });
    const chain = certificatesIn(body);
    expect(chain.map(({ subject }) => subject)).toEqual([`CN=${id}`, "CN=fleet issuing", "CN=fleet root"]);
    expect(
      chain.map((certificate, at) => certificate.verify((chain[at + 1] ?? certificate).publicKey)),
    ).toEqual([true, true, true]);
    const chainPem = chain.map(String).join("\n");
    await using renewed = await connectWithCertificate(
      issuing.cloud,
      id,
      { chainPem, keyPem },
      {
        username: previewUsername(issuing.cloud, id),
      },
    );
    await device.closed;
    await request(renewed, "4321", { id: id, csr: (await createCsr(id)).csr });
    expect((await answerTo(renewed, "4321")).status).toBe(202);
    expect((await answerTo(renewed, "4321")).status).toBe(200);
  });

  it("is refused after its seven days, and once its policy has another CA", async () => {
    const { csr, keyPem } = await createCsr(id);
    await using device = await applicant.listen();
    await request(device, "1234", { id, csr });
    await answerTo(device, "1234");
    const chainPem = certificatesIn((await answerTo(device, "1234")).body)
      .map(String)
      .join("\n");
    const attempt = async (): Promise<TestDevice> =>
      connectWithCertificate(issuing.cloud, id, { chainPem, keyPem });
    issuing.cloud.levers.setClockOffset(7 * 86_400_000);
    await expect(attempt()).rejects.toMatchObject({ code: 5 });
    issuing.cloud.levers.setClockOffset(0);
    await (await attempt())[Symbol.asyncDispose]();
    await issuing.cloud.levers.credentialPolicies.put("fleet", 7);
    await expect(attempt()).rejects.toMatchObject({ code: 5 });
  });
});

function certificatesIn(body: JsonObject): X509Certificate[] {
  const { certificates } = body;
  if (!Array.isArray(certificates)) throw new Error("no certificates");
  return certificates.map((der) => new X509Certificate(Buffer.from(String(der), "base64")));
}

describe("the admin API", () => {
  it("shows and changes how certificates are issued", async () => {
    const path = "/hubs/production/certificate-issuance";
    expect((await askAdmin(issuing.cloud, "GET", path)).body).toEqual({
      policy: "fleet",
      signingMs: 0,
      errorNumbers: "shipping",
    });
    const change = { policy: null, signingMs: 5, refuse: { errorCode: 503_001, times: 3 } };
    expect((await askAdmin(issuing.cloud, "PATCH", path, change)).body).toEqual({
      ...change,
      errorNumbers: "shipping",
    });
  });

  it.each<[number, JsonObject, string]>([
    [404, { policy: "none" }, "none"],
    [400, { signingMs: -1 }, "signingMs"],
    [400, { refuse: { errorCode: 418_000, times: 1 } }, "errorCode"],
    [400, { refuse: { errorCode: 429_002, times: 0 } }, "times"],
    [400, { colour: 1 }, "colour"],
  ])("answers %i to %j", async (status, body, words) => {
    const answer = await askAdmin(issuing.cloud, "PATCH", "/hubs/test/certificate-issuance", body);
    expect(answer).toMatchObject({ status, body: { error: textWith(words) } });
  });
});
