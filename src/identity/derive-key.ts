import { createHmac } from "node:crypto";
import { Secret } from "../platform/secret.ts";

/**
 * Makes the key of one device from the key of its enrollment group: `base64(HMAC-SHA256(groupKey, registrationId))`.
 *
 * The registration ID is hashed as spelled, in UTF-8: DPS takes `GW-1` and `gw-1` for one device, but their keys differ.
 * @param groupKey the decoded primary or secondary key of the group.
 * @returns the device key as a key file holds it, without a newline.
 * @see https://learn.microsoft.com/azure/iot-dps/concepts-symmetric-key-attestation#group-enrollments
 */
export function deriveDeviceKey(groupKey: Secret<Buffer>, registrationId: string): Secret<string> {
  return new Secret(createHmac("sha256", groupKey.reveal()).update(registrationId, "utf8").digest("base64"));
}
