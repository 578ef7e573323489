import { Secret } from "../platform/secret.ts";
import type { Key } from "./identity.ts";

/**
 * Makes a shared access signature: `SharedAccessSignature sr=…&sig=…&se=…[&skn=…]`.
 *
 * The HMAC covers the encoded resource exactly as it is sent, a line feed, and the expiry.
 * @param resource plain, for example `myhub.azure-devices.net/devices/gw-7`; encoded here.
 * @param expiresAtMs wall clock, milliseconds since 1970; whole seconds on the wire.
 * @param keyName the policy name; absent for device keys at a hub, `registration` at DPS.
 * @see https://learn.microsoft.com/azure/iot-hub/iot-hub-dev-guide-sas#sas-token-structure
 */
export async function sharedAccessSignature(
  key: Key,
  resource: string,
  expiresAtMs: number,
  keyName: string | undefined,
  signal: AbortSignal,
): Promise<Secret<string>> {
  const sr = encodeURIComponent(resource);
  const se = Math.floor(expiresAtMs / 1000);
  const signature = await key.hmac(Buffer.from(`${sr}\n${se}`), signal);
  const sig = encodeURIComponent(Buffer.from(signature).toString("base64"));
  const skn = keyName === undefined ? "" : `&skn=${keyName}`;
  return new Secret(`SharedAccessSignature sr=${sr}&sig=${sig}&se=${se}${skn}`);
}
