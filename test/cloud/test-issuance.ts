import { startCloud, type Cloud } from "./cloud.ts";
import type { IssuanceSettings } from "./hub-issuance-settings.ts";
import { isJsonObject, parseJson, type JsonObject } from "./json.ts";
import { createCsr } from "./test-csr.ts";
import { twinTopics, type TestDevice } from "./test-device.ts";
import { certificateAnswers, connectWithCertificate } from "./test-hub-device.ts";
import { createRoot, type TestAuthority } from "./test-pki.ts";

type Overrides = NonNullable<Parameters<typeof connectWithCertificate>[3]>;

/** A cloud with the credential policy `fleet`, whose hub `test` trusts the CA of the devices' first certificates. */
export interface IssuingCloud extends AsyncDisposable {
  readonly cloud: Cloud;
  readonly settings: IssuanceSettings;
  /** A new device with a first certificate. */
  applicant(deviceId?: string): Promise<Applicant>;
  reset(): void;
}

export interface Applicant {
  readonly deviceId: string;
  readonly csr: string;
  connect(overrides?: Overrides): Promise<TestDevice>;
  /** Connected and subscribed to the answers. */
  listen(overrides?: Overrides): Promise<TestDevice>;
}

export async function startIssuing(): Promise<IssuingCloud> {
  const cloud = await startCloud();
  await cloud.levers.credentialPolicies.put("fleet", 7);
  const onboarding = await createRoot("Onboarding");
  const hub = cloud.levers.hub("test");
  hub.caCertificates.put("onboarding", onboarding.certPem, true);
  const { settings } = hub.issuance;
  let count = 0;
  return {
    cloud,
    settings,
    async applicant(deviceId) {
      count += 1;
      return createApplicant(cloud, onboarding, deviceId ?? `device-${count}`);
    },
    reset() {
      settings.change({ signingMs: 0, errorNumbers: "shipping", policy: "fleet", refuse: null });
      cloud.levers.setClockOffset(0);
    },
    [Symbol.asyncDispose]: async () => cloud[Symbol.asyncDispose](),
  };
}

async function createApplicant(
  cloud: Cloud,
  onboarding: TestAuthority,
  deviceId: string,
): Promise<Applicant> {
  cloud.levers.putDevice("test", deviceId, { auth: { type: "ca" } });
  const credential = await onboarding.leaf(deviceId);
  const username = previewUsername(cloud, deviceId);
  const connect = async (overrides: Overrides = {}): Promise<TestDevice> =>
    connectWithCertificate(cloud, deviceId, credential, { username, ...overrides });
  return {
    deviceId,
    csr: (await createCsr(deviceId)).csr,
    connect,
    async listen(overrides) {
      const device = await connect(overrides);
      await device.client.subscribeAsync(certificateAnswers, { qos: 1 });
      return device;
    },
  };
}

export function previewUsername(cloud: Cloud, deviceId: string, apiVersion = "2025-08-01-preview"): string {
  return `${cloud.hub("test").host}/${deviceId}/?api-version=${apiVersion}`;
}

export async function request(device: TestDevice, rid: string, body: unknown): Promise<void> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  await device.client.publishAsync(`$iothub/credentials/POST/issueCertificate/?$rid=${rid}`, text, {
    qos: 1,
  });
}

/** The next answer to this request. */
export async function answerTo(
  device: TestDevice,
  rid: string,
): Promise<{ readonly status: number; readonly body: JsonObject }> {
  for (;;) {
    const { topic, status, body } = await device.next("$iothub/credentials/res/");
    const parsed = parseJson(body);
    if (topic.endsWith(`/?$rid=${rid}`)) return { status, body: isJsonObject(parsed) ? parsed : {} };
  }
}

/** Nothing about certificates comes: a twin GET, which is answered in order, shows it. */
export async function isSilent(device: TestDevice): Promise<boolean> {
  const heard = (): number => device.order.filter((topic) => topic.includes("credentials")).length;
  const before = heard();
  await device.client.subscribeAsync(twinTopics.answers, { qos: 1 });
  await device.ask(twinTopics.get);
  return heard() === before;
}
