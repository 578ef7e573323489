import type { Identity, WrappedKey } from "../identity/identity.ts";

/** Where DPS says this device belongs. */
export interface Assignment {
  /** Host name of the hub, without scheme or port. */
  readonly hub: string;
  /** The hub's name for us: case counts, and it may differ from the registration ID. */
  readonly deviceId: string;
  /** When DPS answered, wall clock, milliseconds since 1970. */
  readonly assignedAtMs: number;
  /** Why DPS was asked, in words. */
  readonly because?: string;
  /** `initialAssignment`, `deviceDataMigrated`, `deviceDataReset`, or what later services say. */
  readonly substatus?: string;
  /** What a custom allocation function returned. */
  readonly payload?: unknown;
  readonly madeFrom: Fingerprint;
  /** With a TPM: the key that this hub knows us by. Each assignment has its own, so the old hub goes on with the old one. */
  readonly hubKey?: WrappedKey;
}

/** What an assignment was made from. When any of it changes, DPS has to be asked again. Never holds the credential. */
export interface Fingerprint {
  readonly idScope: string;
  readonly endpoint: string;
  readonly registrationId: string;
  readonly attestation: string;
  readonly credentialDigest: string;
}

export function fingerprint(idScope: string, endpoint: string, identity: Identity): Fingerprint {
  return {
    idScope,
    endpoint,
    registrationId: identity.registrationId,
    attestation: identity.attestation,
    credentialDigest: identity.credentialDigest,
  };
}

/** The names of what differs, for a person; empty when the assignment still holds. */
export function differences(was: Fingerprint, is: Fingerprint): readonly string[] {
  const isSameKind = was.attestation === is.attestation;
  return facts
    .filter(({ name }) => was[name] !== is[name])
    .map(({ name, words }) => (name === "credentialDigest" && isSameKind ? credentialWords(is) : words));
}

/** A cleared TPM has another storage root key, an exchanged one another endorsement key too. */
function credentialWords({ attestation }: Fingerprint): string {
  return attestation === "tpm" ? "keys of the TPM (it was cleared or exchanged)" : "credential";
}

const facts: readonly { readonly name: keyof Fingerprint; readonly words: string }[] = [
  { name: "idScope", words: "ID scope" },
  { name: "endpoint", words: "DPS endpoint" },
  { name: "registrationId", words: "registration ID" },
  { name: "attestation", words: "kind of attestation" },
  { name: "credentialDigest", words: "credential" },
];

/**
 * The stored assignments. `current` is the last hub that accepted us; `candidate` is a newer answer of DPS that its hub
 * has not yet confirmed. The current one goes only when the candidate has proven itself.
 */
export interface StoredAssignments {
  readonly current?: Assignment;
  readonly candidate?: Assignment;
}
