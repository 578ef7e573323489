import type { Identity, TpmCredential, WrappedKey } from "../identity/identity.ts";
import { AgentError } from "../platform/failure.ts";
import { overHttpsByTpm, type HttpsConnection } from "../provisioning/over-https.ts";
import { register } from "../provisioning/register.ts";
import { dpsKeyName, type Assigned } from "../provisioning/wire.ts";
import type { Parts } from "./parts.ts";
import { withExchangedTpm } from "./exchanged-tpm.ts";
import { prove } from "./prove.ts";

/** What is signed to see that a key can sign. */
const proof = Buffer.from("latebind proves a new key");

interface Registration {
  readonly identity: Identity;
  readonly to: HttpsConnection;
  /** What the token for DPS is made for. */
  readonly resource: string;
  readonly expiresAtMs: number;
}

/**
 * Registers with a TPM and takes in the key that the assigned hub will know this device by.
 *
 * The key of the challenge is used for this conversation alone and never kept. That of the hub is proven by a signature before
 * anybody relies on it; the key that served so far is not touched.
 * @throws AgentError as `register`, `overHttpsByTpm`, `withExchangedTpm` and `TpmCredential`.
 */
export async function registerByTpm(
  tpm: TpmCredential,
  { identity, to, resource, expiresAtMs }: Registration,
  { clock, assignments }: Pick<Parts, "clock" | "assignments">,
  signal: AbortSignal,
): Promise<{ readonly assigned: Assigned; readonly hubKey: WrappedKey }> {
  const { endorsementKey, storageRootKey } = tpm;
  const transport = overHttpsByTpm(to, {
    endorsementKey,
    storageRootKey,
    solve: async (challenge, during) => {
      const wrappedKey = await tpm.takeIn(challenge, during);
      const token = { resource, expiresAtMs, keyName: dpsKeyName, wrappedKey };
      return prove({ attestation: "tpm", tpm }, token, during);
    },
  });
  const assigned = await register(transport, clock, signal).catch((error: unknown) => {
    throw withExchangedTpm(error, identity, assignments.read() ?? {});
  });
  if (assigned.authenticationKey === undefined) throw keyless();
  const hubKey = await tpm.takeIn(assigned.authenticationKey, signal);
  await tpm.keyOf(hubKey).hmac(proof, signal);
  return { assigned, hubKey };
}

function keyless(): AgentError {
  return new AgentError(
    "provisioning/malformed-answer",
    "retry",
    "DPS assigned a hub without a key for the TPM, which the protocol does not allow",
  );
}
