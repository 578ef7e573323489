import { X509Certificate } from "node:crypto";
import * as v from "valibot";
import { CloudError } from "./cloud-error.ts";
import { isTpmPublic } from "./dps-tpm.ts";
import type { JsonObject, JsonValue } from "./json.ts";
import { decodeBase64 } from "./sas-token.ts";

const key = v.pipe(
  v.string(),
  v.check((text) => {
    const length = decodeBase64(text)?.length ?? 0;
    return length >= 16 && length <= 64;
  }, "a key is base64 of 16 to 64 bytes"),
);
const jsonValue = v.custom<JsonValue>((value) => value !== undefined, "any JSON value");
const jsonObject = v.custom<JsonObject>(
  (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  "a JSON object",
);
const initialTwin = v.strictObject({ tags: v.optional(jsonObject), desired: v.optional(jsonObject) });

/** ASCII letters, digits and `-._:`, at most 128, ending in a letter, digit or dash. Compared without regard to case. */
export const registrationId = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9\-._:]{0,127}[A-Za-z0-9-]$/, "1 to 128 of A-Z a-z 0-9 - . _ : and no . _ : at the end"),
);

const pem = v.pipe(
  v.string(),
  v.check((text) => {
    try {
      return new X509Certificate(text).subject !== "";
    } catch {
      return false;
    }
  }, "not a certificate in PEM"),
);
const oneOrTwo = <T extends v.GenericSchema>(item: T) =>
  v.pipe(v.array(item), v.minLength(1, "at least one"), v.maxLength(2, "at most two"));
const symmetricKey = v.strictObject({ type: v.literal("symmetricKey") });
const attestations = {
  individual: v.variant("type", [
    symmetricKey,
    /** The device's own certificate, and another for changing over. */
    v.strictObject({ type: v.literal("x509"), primary: pem, secondary: v.optional(pem) }),
    v.strictObject({
      type: v.literal("tpm"),
      endorsementKey: v.pipe(
        v.string(),
        v.check((text) => isTpmPublic(text), "not base64 of the TPM2B_PUBLIC of an RSA-2048 endorsement key"),
      ),
    }),
  ]),
  group: v.union([
    symmetricKey,
    /** Intermediates, trusted as they are. */
    v.strictObject({ type: v.literal("x509"), signingCertificates: oneOrTwo(pem) }),
    /** Names of uploaded CA certificates; they count once they are verified. */
    v.strictObject({ type: v.literal("x509"), caReferences: oneOrTwo(v.string()) }),
  ]),
};

/** The webhook is called from here, so it must be here: nothing leaves this machine. */
const loopbackUrl = v.pipe(
  v.string(),
  v.regex(/^http:\/\/(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?(\/.*)?$/, "an http URL on loopback"),
);

const settings = {
  /** Base64 of 16 to 64 bytes, made where left out; they count for the attestation `symmetricKey` only. */
  primaryKey: v.optional(key),
  secondaryKey: v.optional(key),
  allocationPolicy: v.optional(v.picklist(["static", "hashed", "geoLatency", "custom"])),
  /** For static allocation: a hub's name; null links none, which DPS reports as 400208. Left out: the first hub. */
  hub: v.optional(v.nullable(v.string())),
  /** For the other policies: the hubs to choose from. Left out: all of them. */
  hubs: v.optional(v.array(v.string())),
  /** For custom allocation. */
  webhookUrl: v.optional(loopbackUrl),
  enabled: v.optional(v.boolean()),
  initialTwin: v.optional(initialTwin),
  reprovisionPolicy: v.optional(v.picklist(["migrate", "reset", "never"])),
  /** Returned to the device as a custom allocation function would. */
  payload: v.optional(jsonValue),
  /** Name of the policy under which devices that send a CSR get a certificate. */
  credentialPolicy: v.optional(v.string()),
};
const individual = {
  ...settings,
  attestation: v.optional(attestations.individual),
  /** Left out: the registration ID. Case-sensitive, unlike the registration ID. */
  deviceId: v.optional(v.pipe(v.string(), v.regex(/^[A-Za-z0-9\-.%_#*?!(),:=@$']{1,128}$/, "no device ID"))),
};
const group = { ...settings, attestation: v.optional(attestations.group) };

const schemas = {
  enrollment: v.strictObject({ registrationId, ...individual }),
  group: v.strictObject({ groupId: registrationId, ...group }),
};
/** What enrollments say, without their names. */
export const enrollmentSettings = v.strictObject(individual);
export const groupSettings = v.strictObject(group);

export type EnrollmentSpec = v.InferInput<typeof schemas.enrollment>;
export type EnrollmentChange = v.InferInput<typeof enrollmentSettings>;
export type GroupSpec = v.InferInput<typeof schemas.group>;
export type IndividualAttestation = v.InferOutput<typeof attestations.individual>;
export type GroupAttestation = v.InferOutput<typeof attestations.group>;
export type GroupChange = v.InferInput<typeof groupSettings>;

export const parseEnrollment = (input: unknown): EnrollmentSpec => parse(schemas.enrollment, input);
export const parseEnrollmentChange = (input: unknown): EnrollmentChange => parse(enrollmentSettings, input);
export const parseGroup = (input: unknown): GroupSpec => parse(schemas.group, input);
export const parseGroupChange = (input: unknown): GroupChange => parse(groupSettings, input);

/** @throws CloudError 400 with every problem and its path. */
export function parse<S extends v.GenericSchema>(schema: S, input: unknown): v.InferOutput<S> {
  const result = v.safeParse(schema, input);
  if (result.success) return result.output;
  throw new CloudError(400, result.issues.map((issue) => problemOf(issue)).join("; "));
}

/** What is wrong, behind where it is. */
export function problemOf(issue: v.BaseIssue<unknown>): string {
  const path = v.getDotPath(issue);
  return path === null ? issue.message : `${path}: ${issue.message}`;
}
