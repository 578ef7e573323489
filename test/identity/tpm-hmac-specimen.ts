import { randomBytes } from "node:crypto";
import type { TpmDevice } from "../../src/identity/tpm/tpm-device.ts";
import { parseTpmKeys, wrap } from "../cloud/dps-tpm.ts";
import type { HmacKeySpecimen } from "../contract/key.ts";

const never = new AbortController().signal;

/** A key that a TPM has taken in from a service, which knows it too. */
export async function tpmHmacSpecimen(device: TpmDevice): Promise<HmacKeySpecimen> {
  const { credential, ...facts } = await device.open(never);
  const keys = parseTpmKeys({
    endorsementKey: credential.endorsementKey,
    storageRootKey: credential.storageRootKey,
  });
  if (keys === undefined) throw new Error("the cloud does not take these keys for those of a TPM");
  const secret = randomBytes(32);
  const wrapped = await credential.takeIn(wrap(keys, secret.toString("base64")), never);
  return {
    secret,
    open: async () => ({ ...facts, key: credential.keyOf(wrapped) }),
    [Symbol.dispose]: () => undefined,
  };
}
