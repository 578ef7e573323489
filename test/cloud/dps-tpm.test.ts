import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import { wrap } from "./dps-tpm.ts";
import { anyText } from "./matchers.ts";
import { connectToDps, connectToHub, dpsTopics, parseAnswer, refusalOf } from "./test-device.ts";
import { httpsDevice, type HttpsDevice } from "./test-dps-https.ts";
import { parseFields } from "./test-tpm-blob.ts";
import { startTestTpm, type TestTpm } from "./test-tpm.ts";
import genuine from "./tpm-genuine.json" with { type: "json" };

let cloud: Cloud;
let tpm: TestTpm;
let registrationId: string;
let silent: HttpsDevice;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0 });
  tpm = await startTestTpm();
  registrationId = registrationIdOf(tpm.endorsementKey);
  silent = httpsDevice(cloud, registrationId, undefined);
  const attestation = { type: "tpm", endorsementKey: tpm.endorsementKey } as const;
  cloud.levers.enrollments.put({ registrationId, attestation });
});
afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
  await tpm[Symbol.asyncDispose]();
});

const keysOf = ({ endorsementKey, storageRootKey }: TestTpm) => ({ endorsementKey, storageRootKey });

async function challenge(keys = keysOf(tpm)): Promise<string> {
  const { status, body } = await silent.register({ registrationId, tpm: keys });
  expect(status).toBe(401);
  return authenticationKeyIn(JSON.parse(body));
}

/** A device that signs with whatever the TPM took in last. */
async function signing(): Promise<HttpsDevice> {
  const authorization = await tokenBy(
    tpm,
    `${cloud.idScope}/registrations/${registrationId}`,
    "&skn=registration",
  );
  return httpsDevice(cloud, registrationId, undefined, { headers: { authorization } });
}

describe("a blob", () => {
  it("has the fields and sizes of the genuine ones", async () => {
    const ours = await challenge();
    for (const blob of [...genuine.authenticationKeys, ours]) {
      expect(sizesIn(blob).slice(0, 5)).toEqual([52, 256, 142, 256, 48]);
    }
    expect(sizesIn(ours)[5]).toBe(sizesIn(genuine.authenticationKeys[0] ?? "")[5]);
    const [theirPublic, ourPublic] = [genuine.authenticationKeys[0] ?? "", ours].map(
      (blob) => parseFields(Buffer.from(blob, "base64"))[4],
    );
    // All but the digest at the end, which is the key's own.
    expect(ourPublic?.subarray(0, -32)).toEqual(theirPublic?.subarray(0, -32));
  });

  it("with one bit flipped in any field that matters is refused by the TPM", async () => {
    const blob = Buffer.from(await challenge(), "base64");
    let start = 0;
    for (const field of parseFields(blob).slice(0, 5)) {
      const damaged = Buffer.from(blob);
      const at = start + field.length - 1;
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      await expect(tpm.takeIn(damaged.toString("base64"))).rejects.toThrow("tpm2_");
      start += field.length;
    }
    await tpm.takeIn(blob.toString("base64"));
  });

  it("is refused by another TPM, and by the same TPM under another storage root key", async () => {
    await using other = await startTestTpm();
    const mixed = wrap({ ...keysOf(tpm), storageRootKey: other.storageRootKey }, "AAAAAAAAAAAAAAAAAAAAAA==");
    await expect(other.takeIn(await challenge())).rejects.toThrow("tpm2_activatecredential");
    await expect(other.takeIn(mixed)).rejects.toThrow("tpm2_activatecredential");
    await expect(tpm.takeIn(mixed)).rejects.toThrow("tpm2_activatecredential");
    const before = wrap(keysOf(other), "AAAAAAAAAAAAAAAAAAAAAA==");
    await other.takeIn(before);
    await other.replaceStorageRootKey();
    await expect(other.takeIn(before)).rejects.toThrow("tpm2_activatecredential");
  });
});

it("the known endorsement key has the known registration ID", () => {
  expect(registrationIdOf(genuine.endorsementKey)).toBe(genuine.registrationId);
});

describe("DPS refuses a TPM", () => {
  it("that nobody has enrolled, or that is enrolled under another ID, without a challenge", async () => {
    const body = { tpm: keysOf(tpm) };
    const stranger = await httpsDevice(cloud, "stranger", undefined).register(body);
    expect([stranger.status, parseAnswer(stranger.body).errorCode]).toEqual([404, 404201]);
    cloud.levers.enrollments.put({ registrationId: "keyed" });
    const keyed = await httpsDevice(cloud, "keyed", undefined).register(body);
    expect([keyed.status, parseAnswer(keyed.body).errorCode]).toEqual([401, 401002]);
    const attestation = { type: "tpm", endorsementKey: genuine.endorsementKey } as const;
    cloud.levers.enrollments.put({ registrationId: "other-ek", attestation });
    const otherEk = await httpsDevice(cloud, "other-ek", undefined).register(body);
    expect([otherEk.status, parseAnswer(otherEk.body).errorCode]).toEqual([401, 401002]);
    expect(otherEk.body).not.toContain("authenticationKey");
  });

  it.each([
    ["an endorsement key cut short", { endorsementKey: genuine.endorsementKey.slice(0, 80) }],
    ["a key in PEM", { endorsementKey: "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0=" }],
    ["no storage root key", { storageRootKey: undefined }],
  ])("that sends %s with 400", async (_name, change) => {
    expect((await silent.register({ tpm: { ...keysOf(tpm), ...change } })).status).toBe(400);
  });

  it("that signs with a challenge that is no longer the newest", async () => {
    await tpm.takeIn(await challenge());
    const device = await signing();
    expect((await device.register()).status).toBe(202);
    await challenge();
    expect(parseAnswer((await device.register()).body).errorCode).toBe(401002);
  });

  it("over MQTT, even with a solved challenge", async () => {
    await tpm.takeIn(await challenge());
    const resource = `${cloud.idScope}/registrations/${registrationId}`;
    const password = await tokenBy(tpm, resource, "&skn=registration");
    await using device = await connectToDps(cloud, registrationId, "", { password });
    await device.client.subscribeAsync(dpsTopics.answers, { qos: 1 });
    const { status, body } = await device.ask(dpsTopics.register, JSON.stringify({ tpm: keysOf(tpm) }));
    expect([status, parseAnswer(body).errorCode]).toEqual([401, 401002]);
  });

  it("that shows another storage root key than the one it solved the challenge with, by a new challenge", async () => {
    await tpm.takeIn(await challenge());
    const device = await signing();
    await using other = await startTestTpm();
    const { status, body } = await device.register({
      tpm: { ...keysOf(tpm), storageRootKey: other.storageRootKey },
    });
    expect([status, authenticationKeyIn(JSON.parse(body)) !== ""]).toEqual([401, true]);
  });
});

describe("a TPM", () => {
  it.each([true, false])(
    "gets a key for DPS, then its hub's, and connects with that one only (keys repeated: %s)",
    async (isRepeated) => {
      const first = await silent.register({ registrationId, tpm: keysOf(tpm) });
      expect(JSON.parse(first.body)).toEqual({
        message: anyText,
        authenticationKey: anyText,
        unencryptedAuthenticationKey: null,
        keyName: "registration",
      });
      await tpm.takeIn(authenticationKeyIn(JSON.parse(first.body)));
      const device = await signing();
      const { body } = await device.provision(isRepeated ? { registrationId, tpm: keysOf(tpm) } : {});
      expect(body).toMatchObject({ status: "assigned", registrationState: { deviceId: registrationId } });

      const lookup = await device.lookup();
      expect(parseAnswer(lookup.body).status).toBe("assigned");
      expect(lookup.body).not.toContain("authenticationKey");

      const resource = `${cloud.hub("test").host}/devices/${registrationId}`;
      const connect = async (password: string): Promise<number> =>
        refusalOf(connectToHub(cloud, "test", registrationId, "", { password }));
      expect(await connect(await tokenBy(tpm, resource))).toBe(5);
      await tpm.takeIn(authenticationKeyIn(body.registrationState?.["tpm"]));
      expect(await connect(await tokenBy(tpm, resource))).toBe(0);
      expect((await (await signing()).register()).status).toBe(401);
    },
  );
});

function sizesIn(authenticationKey: string): number[] {
  return parseFields(Buffer.from(authenticationKey, "base64")).map((field) => field.length - 2);
}

/** A shared access signature that only the TPM can make. */
async function tokenBy(tpm: TestTpm, resource: string, keyName = ""): Promise<string> {
  const sr = encodeURIComponent(resource);
  const se = Math.floor(Date.now() / 1000) + 3600;
  const signature = encodeURIComponent(await tpm.hmac(`${sr}\n${se}`));
  return `SharedAccessSignature sr=${sr}&sig=${signature}&se=${se}${keyName}`;
}

function authenticationKeyIn(value: unknown): string {
  const isObject = typeof value === "object" && value !== null && "authenticationKey" in value;
  return isObject && typeof value.authenticationKey === "string" ? value.authenticationKey : "";
}

/** Lower-case base32 of the digest, without padding. */
function registrationIdOf(endorsementKey: string): string {
  const digest = createHash("sha256").update(Buffer.from(endorsementKey, "base64")).digest();
  const bits = [...digest].map((octet) => octet.toString(2).padStart(8, "0")).join("");
  const groups = bits.match(/.{1,5}/g) ?? [];
  return groups
    .map((five) => "abcdefghijklmnopqrstuvwxyz234567"[Number.parseInt(five.padEnd(5, "0"), 2)])
    .join("");
}
