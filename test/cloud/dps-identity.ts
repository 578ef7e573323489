import { randomBytes, type X509Certificate } from "node:crypto";
import { sha256ThumbprintOf } from "./ca-certificates.ts";
import type { TpmKeys } from "./dps-tpm.ts";
import { describeX509 } from "./dps-x509.ts";
import { createKey, type DeviceAuth, type DeviceKeys } from "./hub.ts";
import type { JsonObject } from "./json.ts";

/** How a device has shown who it is. */
export type Identity =
  | { readonly by: "symmetricKey"; readonly keys: DeviceKeys }
  | {
      readonly by: "x509";
      readonly leaf: X509Certificate;
      /** Of a group: who stands above the leaf. */
      readonly signer?: X509Certificate;
      /** Of an individual enrollment: both certificates that it names. Of a group: the leaf. */
      readonly enrolled: readonly X509Certificate[];
    }
  | { readonly by: "tpm"; readonly keys: TpmKeys };

/** What DPS says about it, to the device and to webhooks. */
export function describeIdentity(identity: Identity, groupId: string | undefined): JsonObject {
  switch (identity.by) {
    case "symmetricKey":
      return { symmetricKey: groupId === undefined ? {} : { enrollmentGroupId: groupId } };
    case "x509":
      return { x509: describeX509(identity.leaf, identity.signer, groupId) };
    case "tpm":
      return { tpm: {} };
  }
}

/** What the device will have to show at its hub. @param tpmHubKey in base64, for a TPM. */
export function hubAuthOf(identity: Identity, tpmHubKey: string): DeviceAuth {
  switch (identity.by) {
    case "symmetricKey":
      return { type: "sas", ...identity.keys };
    case "x509": {
      const [primary, secondary] = identity.enrolled.map((certificate) => sha256ThumbprintOf(certificate));
      return {
        type: "selfSigned",
        ...(primary === undefined ? {} : { primaryThumbprint: primary }),
        ...(secondary === undefined ? {} : { secondaryThumbprint: secondary }),
      };
    }
    case "tpm":
      return { type: "sas", primaryKey: tpmHubKey, secondaryKey: createKey() };
  }
}

/** TPMs refuse HMAC keys of more than 64 bytes; the service's own have 32. */
export function createTpmHubKey(): string {
  return randomBytes(32).toString("base64");
}
