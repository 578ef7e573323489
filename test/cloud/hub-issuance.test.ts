import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { anyText, textWith } from "./matchers.ts";
import { askAdmin } from "./test-admin.ts";
import { createCsr } from "./test-csr.ts";
import type { TestDevice } from "./test-device.ts";
import { certificateAnswers, connectNew } from "./test-hub-device.ts";
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

describe("a request is answered at once with 400 when", () => {
  it.each<[string, (id: string, csr: string) => unknown, number, string]>([
    ["its body is empty", () => "", 400_004, "missing"],
    ["its body is cut off", () => '{"id":"x","csr":', 400_006, "not JSON"],
    ["its body is a list", () => ["not", "an", "object"], 400_004, "not a JSON object"],
    ["its id is empty", (_id, csr) => ({ id: "", csr }), 400_004, "'id' is invalid"],
    ["its id is missing", (_id, csr) => ({ csr }), 400_004, "'id' is invalid"],
    ["its id is another device's", (_id, csr) => ({ id: "other", csr }), 400_004, "does not match"],
    ["its csr is empty", (id) => ({ id, csr: "" }), 400_004, "'csr' is invalid"],
    ["its csr is missing", (id) => ({ id }), 400_004, "'csr' is invalid"],
    ["its csr is longer than 8 KB", (id) => ({ id, csr: "A".repeat(8196) }), 400_004, "8 KB"],
    ["its csr is not base64", (id) => ({ id, csr: "not-valid-base64!!@@##" }), 400_004, "not base64"],
    ["it has an unknown field", (id, csr) => ({ id, csr, colour: "red" }), 400_004, "colour"],
    ["it replaces null", (id, csr) => ({ id, csr, replace: null }), 400_004, "'replace'"],
    ["it replaces too short an ID", (id, csr) => ({ id, csr, replace: "123" }), 400_004, "'replace'"],
    ["it replaces too long an ID", (id, csr) => ({ id, csr, replace: "r".repeat(37) }), 400_004, "'replace'"],
    [
      "it replaces an ID with a dash at its end",
      (id, csr) => ({ id, csr, replace: "1234-" }),
      400_004,
      "'replace'",
    ],
  ])("%s", async (_name, make, observed, words) => {
    await using device = await applicant.listen();
    for (const [errorNumbers, errorCode] of [
      ["shipping", 400_040],
      ["observed", observed],
    ] as const) {
      issuing.settings.change({ errorNumbers });
      await request(device, "1234", make(id, csr));
      expect(await answerTo(device, "1234")).toEqual({
        status: 400,
        body: {
          errorCode,
          message: textWith(words),
          trackingId: anyText,
          timestampUtc: anyText,
          info: null,
        },
      });
    }
  });

  it.each(["123", "-123", "123-", "12_34", "r".repeat(37)])("its ID is %s", async (rid) => {
    await using device = await applicant.listen();
    await request(device, rid, { id, csr });
    expect(await answerTo(device, rid)).toMatchObject({ status: 400, body: { errorCode: 400_040 } });
  });
});

describe("a request is accepted with 202 and then refused when its csr", () => {
  it.each<[string, () => Promise<string>, string]>([
    ["is no PKCS#10", async () => "AAAA", "FailedToDecodeCsr"],
    ["is for another name", async () => (await createCsr("somebody")).csr, "CommonNameMismatch"],
    ["has a key on another curve", async () => (await createCsr(id, "P-521")).csr, "UnsupportedKey"],
  ])("%s", async (_name, make, credentialError) => {
    await using device = await applicant.listen();
    for (const [errorNumbers, errorCode] of [
      ["shipping", 400_040],
      ["observed", 400_037],
    ] as const) {
      issuing.settings.change({ errorNumbers });
      await request(device, "1234", { id, csr: await make() });
      const { status, body } = await answerTo(device, "1234");
      expect({ status, body }).toEqual({
        status: 202,
        body: { correlationId: anyText, operationExpires: anyText },
      });
      expect(await answerTo(device, "1234")).toMatchObject({
        status: 400,
        body: {
          errorCode,
          info: { ...body, credentialError, credentialMessage: anyText, requestId: "1234" },
        },
      });
    }
  });
});

describe("nothing is issued", () => {
  it("to a connection with a token: 401", async () => {
    await using device = await connectNew(issuing.cloud, "keyed", {
      username: previewUsername(issuing.cloud, "keyed"),
    });
    await device.client.subscribeAsync(certificateAnswers, { qos: 1 });
    await request(device, "1234", { id: "keyed", csr });
    expect(await answerTo(device, "1234")).toMatchObject({ status: 401, body: { errorCode: 401_002 } });
  });

  it.each<[string, (device: TestDevice) => unknown]>([
    ["subscribing", ({ client }) => client.subscribe(certificateAnswers)],
    ["asking", async (device) => request(device, "1234", {}).catch(() => {})],
  ])("with an api-version or a hub that does not know of it: %s costs the connection", async (_name, act) => {
    {
      await using old = await applicant.connect({
        username: previewUsername(issuing.cloud, id, "2021-04-12"),
      });
      void act(old);
      await old.closed;
    }
    issuing.settings.change({ policy: null });
    await using device = await applicant.connect();
    void act(device);
    await device.closed;
    expect(device.client.connected).toBe(false);
  });

  it("without a request ID, and nothing is answered", async () => {
    await using device = await applicant.listen();
    for (const topic of ["", "?$rid=", "?rid=1234"]) {
      const target = `$iothub/credentials/POST/issueCertificate/${topic}`;
      await device.client.publishAsync(target, JSON.stringify({ id, csr }), { qos: 1 });
    }
    expect(await isSilent(device)).toBe(true);
    await request(device, "1234", { id, csr });
    expect((await answerTo(device, "1234")).status).toBe(202);
  });

  it.each([
    [429_002, 7],
    [429_003, undefined],
    [500_001, undefined],
    [503_001, 0],
  ] as const)("as often as an operator says so: %i", async (errorCode, retryAfterSeconds) => {
    await using device = await applicant.listen();
    await askAdmin(issuing.cloud, "PATCH", "/hubs/test/certificate-issuance", {
      refuse: { errorCode, times: 2, retryAfterSeconds },
    });
    for (const rid of ["first", "second"]) {
      await request(device, rid, { id, csr });
      const { status, body } = await answerTo(device, rid);
      expect(status).toBe(Math.floor(errorCode / 1000));
      expect([body["errorCode"], body["retryAfter"]]).toEqual([errorCode, retryAfterSeconds]);
    }
    await request(device, "third", { id, csr });
    expect((await answerTo(device, "third")).status).toBe(202);
  });
});

describe("while an operation is pending another request", () => {
  beforeEach(() => issuing.settings.change({ signingMs }));

  it("gets 409 and is told which it is, under both numbers", async () => {
    await using device = await applicant.listen();
    await request(device, "first", { id, csr });
    const { body: pending } = await answerTo(device, "first");
    for (const [errorNumbers, errorCode] of [
      ["shipping", 409_005],
      ["observed", 409_004],
    ] as const) {
      issuing.settings.change({ errorNumbers });
      await request(device, "second", { id, csr });
      expect(await answerTo(device, "second")).toMatchObject({
        status: 409,
        body: { errorCode, info: { ...pending, requestId: "first" } },
      });
    }
    sign();
    expect((await answerTo(device, "first")).status).toBe(200);
  });

  it("of another device is taken", async () => {
    await using device = await applicant.listen();
    await request(device, "first", { id, csr });
    const other = await issuing.applicant();
    await using neighbour = await other.listen();
    await request(neighbour, "first", { id: other.deviceId, csr: other.csr });
    expect((await answerTo(neighbour, "first")).status).toBe(202);
  });

  it.each(["first", "*"])(
    "that replaces %s takes its place, and the first is never heard of",
    async (replace) => {
      await using device = await applicant.listen();
      await request(device, "first", { id, csr });
      expect((await answerTo(device, "first")).status).toBe(202);
      await request(device, "second", { id, csr, replace });
      expect((await answerTo(device, "second")).status).toBe(202);
      sign();
      expect((await answerTo(device, "second")).status).toBe(200);
      expect(await isSilent(device)).toBe(true);
    },
  );

  it("that replaces something else gets 412, also when nothing is pending", async () => {
    await using device = await applicant.listen();
    for (const _ of ["nothing pending", "another pending"]) {
      await request(device, "second", { id, csr, replace: "other" });
      expect(await answerTo(device, "second")).toMatchObject({
        status: 412,
        body: { errorCode: 412_001, info: { requestId: "other" } },
      });
      await request(device, "first", { id, csr, replace: "*" });
      expect((await answerTo(device, "first")).status).toBe(202);
    }
  });

  it("may follow after twelve hours: then the first is forgotten", async () => {
    issuing.settings.change({ signingMs: 13 * 3_600_000 });
    await using device = await applicant.listen();
    await request(device, "first", { id, csr });
    const { operationExpires } = (await answerTo(device, "first")).body;
    const lifeMs = Date.parse(typeof operationExpires === "string" ? operationExpires : "") - Date.now();
    expect(lifeMs / 3_600_000).toBeCloseTo(12, 1);
    issuing.cloud.levers.setClockOffset(12 * 3_600_000);
    await request(device, "second", { id, csr });
    expect((await answerTo(device, "second")).status).toBe(202);
    issuing.cloud.levers.setClockOffset(13 * 3_600_000);
    expect(await isSilent(device)).toBe(true);
  });
});
