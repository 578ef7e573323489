import * as v from "valibot";
import { caUpload } from "./ca-admin-routes.ts";
import { CloudError } from "./cloud-error.ts";
import { findDangling } from "./description-references.ts";
import { linkSettings, policySettings } from "./dps-admin-routes.ts";
import { enrollmentSettings, groupSettings, problemOf, registrationId } from "./enrollment-spec.ts";
import { proxyBehaviour } from "./fault-proxies.ts";
import { faultRule } from "./fault-spec.ts";
import { deviceSpec } from "./hub-device-spec.ts";
import { issuanceChange } from "./hub-issuance-settings.ts";
import { throttleChange } from "./hub-throttle.ts";
import { paceChange } from "./levers.ts";
import { hubName } from "./linked-hubs.ts";

const port = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65_535));
const caCertificates = v.optional(v.record(v.string(), caUpload));
const hub = v.strictObject({
  ...linkSettings,
  throttle: v.optional(throttleChange),
  certificateIssuance: v.optional(issuanceChange),
  /** For devices with certificates that are registered here and not by DPS. */
  caCertificates,
  /** Registered without DPS, by device ID. */
  devices: v.optional(v.record(v.string(), deviceSpec)),
});

/** Everything by its name, each with the fields that the admin API takes for it. */
const description = v.strictObject({
  idScope: v.optional(v.pipe(v.string(), v.minLength(1))),
  network: v.optional(v.pipe(v.string(), v.regex(/^127\.\d{1,3}\.\d{1,3}$/, "three numbers like 127.31.7"))),
  port: v.optional(port),
  httpsPort: v.optional(port),
  adminPort: v.optional(port),
  tokenGraceSeconds: v.optional(v.pipe(v.number(), v.minValue(0))),
  faultSeed: v.optional(v.string()),
  clockOffsetMs: v.optional(v.pipe(v.number(), v.integer())),
  pace: v.optional(paceChange),
  hubs: v.optional(v.record(hubName, hub)),
  caCertificates,
  credentialPolicies: v.optional(v.record(v.string(), policySettings)),
  enrollments: v.optional(v.record(registrationId, enrollmentSettings)),
  enrollmentGroups: v.optional(v.record(registrationId, groupSettings)),
  faults: v.optional(v.array(faultRule)),
  proxies: v.optional(v.array(proxyBehaviour)),
});

export type CloudDescription = v.InferInput<typeof description>;

export const defaultHubs: readonly string[] = ["test", "production"];

/**
 * Checks shapes, and that every hub, CA and policy that is named is also described.
 * @param hubsBeside hubs that there are although the description does not name them.
 * @throws CloudError 400 with every problem on a line of its own, behind its path.
 */
export function parseDescription(input: unknown, hubsBeside: readonly string[] = []): CloudDescription {
  const result = v.safeParse(description, input);
  const problems = [
    ...(result.issues ?? []).map((issue) => problemOf(issue)),
    ...findDangling(input, hubsBeside, defaultHubs),
  ];
  if (!result.success || problems.length > 0) throw new CloudError(400, problems.join("\n"));
  return result.output;
}
