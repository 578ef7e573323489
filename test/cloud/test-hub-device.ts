import type { Cloud } from "./cloud.ts";
import { connectToHub, type TestDevice } from "./test-device.ts";
import type { TestCredential } from "./test-pki.ts";

type Overrides = NonNullable<Parameters<typeof connectToHub>[4]>;

export const methodCalls = "$iothub/methods/POST/#";
export const certificateAnswers = "$iothub/credentials/res/#";

export function messagesOf(deviceId: string): string {
  return `devices/${deviceId}/messages/devicebound/#`;
}

/** Connects with its key to the hub `test`, and registers the device there first if it is new. */
export async function connectNew(
  cloud: Cloud,
  deviceId: string,
  overrides: Overrides = {},
): Promise<TestDevice> {
  const hub = cloud.levers.hub("test");
  const info = hub.has(deviceId)
    ? cloud.levers.device("test", deviceId)
    : cloud.levers.putDevice("test", deviceId, {});
  if (info.type !== "sas") throw new Error(`${deviceId} has no key`);
  return connectToHub(cloud, "test", deviceId, info.primaryKey, overrides);
}

/** Connects with a certificate and no password. */
export async function connectWithCertificate(
  cloud: Cloud,
  deviceId: string,
  { chainPem, keyPem }: Pick<TestCredential, "chainPem" | "keyPem">,
  overrides: Overrides = {},
): Promise<TestDevice> {
  return connectToHub(cloud, "test", deviceId, "", {
    password: "",
    cert: chainPem,
    key: keyPem,
    ...overrides,
  });
}
