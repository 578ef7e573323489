import * as v from "valibot";
import { CloudError } from "./cloud-error.ts";
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
const registrationId = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9\-._:]{0,127}[A-Za-z0-9-]$/, "1 to 128 of A-Z a-z 0-9 - . _ : and no . _ : at the end"),
);

const settings = {
  primaryKey: v.optional(key),
  secondaryKey: v.optional(key),
  /** A hub's name; null links none, which DPS reports as error 400208. Left out: the cloud's first hub. */
  hub: v.optional(v.nullable(v.string())),
  enabled: v.optional(v.boolean()),
  initialTwin: v.optional(initialTwin),
  reprovisionPolicy: v.optional(v.picklist(["migrate", "reset", "never"])),
  /** Returned to the device as a custom allocation function would. */
  payload: v.optional(jsonValue),
};
const individual = {
  ...settings,
  /** Left out: the registration ID. Case-sensitive, unlike the registration ID. */
  deviceId: v.optional(v.pipe(v.string(), v.regex(/^[A-Za-z0-9\-.%_#*?!(),:=@$']{1,128}$/, "no device ID"))),
};

const schemas = {
  enrollment: v.strictObject({ registrationId, ...individual }),
  enrollmentChange: v.strictObject(individual),
  group: v.strictObject({ groupId: registrationId, ...settings }),
  groupChange: v.strictObject(settings),
};

export type EnrollmentSpec = v.InferInput<typeof schemas.enrollment>;
export type EnrollmentChange = v.InferInput<typeof schemas.enrollmentChange>;
export type GroupSpec = v.InferInput<typeof schemas.group>;
export type GroupChange = v.InferInput<typeof schemas.groupChange>;

export const parseEnrollment = (input: unknown): EnrollmentSpec => parse(schemas.enrollment, input);
export const parseEnrollmentChange = (input: unknown): EnrollmentChange =>
  parse(schemas.enrollmentChange, input);
export const parseGroup = (input: unknown): GroupSpec => parse(schemas.group, input);
export const parseGroupChange = (input: unknown): GroupChange => parse(schemas.groupChange, input);

/** @throws CloudError 400 with every problem and its path. */
export function parse<S extends v.GenericSchema>(schema: S, input: unknown): v.InferOutput<S> {
  const result = v.safeParse(schema, input);
  if (result.success) return result.output;
  const problems = result.issues.map((issue) => {
    const path = v.getDotPath(issue);
    return path === null ? issue.message : `${path}: ${issue.message}`;
  });
  throw new CloudError(400, problems.join("; "));
}
