import type { X509Certificate } from "node:crypto";
import { parseCertificate, type CaCertificates } from "./ca-certificates.ts";
import { refusals, type DpsRefusal } from "./dps-answer.ts";
import type { Identity } from "./dps-identity.ts";
import type { Login } from "./dps-login.ts";
import type { TpmChallenges } from "./dps-tpm.ts";
import { areAllValid, findAuthority, isFor, type Chain } from "./dps-x509.ts";
import type { Enrollment, EnrollmentGroup, Enrollments } from "./enrollments.ts";
import { deriveKey, isSignedWith, type SasToken } from "./sas-token.ts";

/** What one device gets, whether it was enrolled by itself or through a group, and how it has shown who it is. */
export interface Entitlement {
  readonly registrationId: string;
  readonly deviceId: string;
  readonly source: Enrollment | EnrollmentGroup;
  readonly groupId?: string;
  readonly identity: Identity;
}

interface AttestOptions {
  readonly enrollments: Enrollments;
  readonly caCertificates: CaCertificates;
  readonly challenges: TpmChallenges;
}

export type Attested = { readonly entitlement: Entitlement } | { readonly refusal: DpsRefusal };

/**
 * Has this device shown that it is who it says? An individual enrollment alone decides about its registration ID; without
 * one the groups are asked, for certificates the nearest authority first. A disabled match is a match.
 */
export function attest(options: AttestOptions, login: Login, nowMs: number): Attested {
  const individual = options.enrollments.find(login.registrationId);
  const { proof } = login;
  switch (proof.by) {
    case "token":
      if (individual === undefined) return attestGroupKey(options, login.registrationId, proof.token);
      return attestToken(options, individual, login, proof.token);
    case "certificate": {
      const [leaf, ...rest] = proof.chain;
      if (leaf === undefined) return { refusal: refusals.unauthorized };
      if (individual === undefined) return attestGroupChain(options, login, [leaf, ...rest], nowMs);
      return attestCertificate(individual, leaf, nowMs);
    }
    case "nothing":
      return { refusal: individual === undefined ? refusals.enrollmentNotFound : refusals.unauthorized };
  }
}

function attestToken(
  { challenges }: AttestOptions,
  individual: Enrollment,
  login: Login,
  token: SasToken,
): Attested {
  switch (individual.attestation.type) {
    case "symmetricKey": {
      const { primaryKey, secondaryKey } = individual;
      if (!isSignedWith(token, primaryKey) && !isSignedWith(token, secondaryKey)) break;
      return entitled(individual, { by: "symmetricKey", keys: { primaryKey, secondaryKey } });
    }
    case "x509":
      break;
    case "tpm": {
      // TPM attestation does not exist over MQTT, not even with a key won over HTTPS.
      const keys = login.transport === "mqtt" ? undefined : challenges.solvedBy(login.registrationId, token);
      if (keys === undefined || keys.endorsementKey !== individual.attestation.endorsementKey) break;
      return entitled(individual, { by: "tpm", keys });
    }
  }
  return { refusal: refusals.unauthorized };
}

function entitled(source: Enrollment, identity: Identity): Attested {
  const { registrationId, deviceId } = source;
  return { entitlement: { registrationId, deviceId, source, identity } };
}

/** An unknown device and a wrong key look the same as soon as there are groups with keys. */
function attestGroupKey({ enrollments }: AttestOptions, registrationId: string, token: SasToken): Attested {
  const groups = enrollments.groups().filter(({ attestation }) => attestation.type === "symmetricKey");
  for (const group of groups) {
    // Derived from the registration ID as the device spells it.
    const primaryKey = deriveKey(group.primaryKey, registrationId);
    const secondaryKey = deriveKey(group.secondaryKey, registrationId);
    if (isSignedWith(token, primaryKey) || isSignedWith(token, secondaryKey)) {
      const identity: Identity = { by: "symmetricKey", keys: { primaryKey, secondaryKey } };
      return { entitlement: entitledThrough(group, registrationId, identity) };
    }
  }
  return { refusal: groups.length === 0 ? refusals.enrollmentNotFound : refusals.unauthorized };
}

function attestCertificate(individual: Enrollment, leaf: X509Certificate, nowMs: number): Attested {
  const { attestation } = individual;
  if (attestation.type !== "x509") return { refusal: refusals.unauthorized };
  const { primary, secondary } = attestation;
  const enrolled = [primary, ...(secondary === undefined ? [] : [secondary])].map(parseCertificate);
  if (!enrolled.some((certificate) => certificate.raw.equals(leaf.raw))) {
    return { refusal: refusals.unauthorized };
  }
  if (!isFor(leaf, individual.registrationId)) return { refusal: refusals.unauthorized };
  if (!areAllValid([leaf], nowMs)) return { refusal: refusals.invalidCertificate };
  return entitled(individual, { by: "x509", leaf, enrolled });
}

function attestGroupChain(options: AttestOptions, login: Login, chain: Chain, nowMs: number): Attested {
  const candidates = options.enrollments
    .groups()
    .flatMap((group) =>
      authoritiesOf(options.caCertificates, group).map((authority) => ({ group, authority })),
    );
  if (candidates.length === 0) return { refusal: refusals.enrollmentNotFound };
  const match = findAuthority(chain, candidates);
  if (match === undefined) return { refusal: refusals.authorityNotFound };
  if (!areAllValid(match.path, nowMs)) return { refusal: refusals.invalidCertificate };
  const [leaf] = chain;
  if (!isFor(leaf, login.registrationId)) return { refusal: refusals.unauthorized };
  const { group, authority } = match.candidate;
  const identity: Identity = { by: "x509", leaf, signer: authority, enrolled: [leaf] };
  return { entitlement: entitledThrough(group, login.registrationId, identity) };
}

function authoritiesOf(
  caCertificates: CaCertificates,
  { attestation }: EnrollmentGroup,
): readonly X509Certificate[] {
  if (attestation.type === "symmetricKey") return [];
  if ("signingCertificates" in attestation) return attestation.signingCertificates.map(parseCertificate);
  return attestation.caReferences.flatMap((name) => caCertificates.verified(name) ?? []);
}

function entitledThrough(source: EnrollmentGroup, registrationId: string, identity: Identity): Entitlement {
  return { registrationId, deviceId: registrationId, source, groupId: source.groupId, identity };
}
