import * as v from "valibot";
import { CloudError } from "./cloud-error.ts";
import { parse } from "./enrollment-spec.ts";
import { createKey, type DeviceAuth, type Hub } from "./hub.ts";
import type { JsonObject } from "./json.ts";
import { decodeBase64 } from "./sas-token.ts";
import { createTwin, patchSection, patchTags } from "./twin.ts";

const key = v.pipe(
  v.string(),
  v.check((text) => {
    const length = decodeBase64(text)?.length ?? 0;
    return length >= 16 && length <= 64;
  }, "a key is base64 of 16 to 64 bytes"),
);
const thumbprint = v.pipe(
  v.string(),
  v.regex(/^(?:[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})$/, "a thumbprint is 40 or 64 hex digits"),
);
const jsonObject = v.custom<JsonObject>(
  (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  "a JSON object",
);
export const deviceSpec = v.strictObject({
  auth: v.optional(
    v.variant("type", [
      v.strictObject({
        type: v.literal("sas"),
        primaryKey: v.optional(key),
        secondaryKey: v.optional(key),
      }),
      v.strictObject({
        type: v.literal("selfSigned"),
        primaryThumbprint: v.optional(thumbprint),
        secondaryThumbprint: v.optional(thumbprint),
      }),
      v.strictObject({ type: v.literal("ca") }),
    ]),
  ),
  enabled: v.optional(v.boolean()),
  initialTwin: v.optional(v.strictObject({ desired: v.optional(jsonObject), tags: v.optional(jsonObject) })),
});

/** A device as an operator registers it by hand, without DPS. Keys that are left out are made. */
export type DeviceSpec = v.InferInput<typeof deviceSpec>;

/**
 * Creates a device, or gives an existing one another credential; its twin stays.
 * @throws CloudError 400 for an ID or content that the service would not take.
 */
export function putDevice(hub: Hub, deviceId: string, input: DeviceSpec): void {
  // The documentation's list; + : and / differ from page to page.
  if (!/^[A-Za-z0-9\-.+%_#*?!(),:=@$']{1,128}$/.test(deviceId)) {
    throw new CloudError(400, "a device ID is 1 to 128 of A-Z a-z 0-9 - . + % _ # * ? ! ( ) , : = @ $ '");
  }
  const { auth, enabled, initialTwin } = parse(deviceSpec, input);
  const credential = credentialOf(auth ?? { type: "sas" });
  if (hub.has(deviceId)) hub.setAuth(deviceId, credential);
  else {
    const desired = patchSection({ properties: {}, version: 1 }, initialTwin?.desired ?? {});
    if (desired.status === "rejected") throw new CloudError(400, `desired: ${desired.because}`);
    const tags = patchTags({}, initialTwin?.tags ?? {});
    if (tags.status === "rejected") throw new CloudError(400, `tags: ${tags.because}`);
    hub.create(deviceId, credential, createTwin({ desired: desired.section.properties, tags: tags.tags }));
  }
  if (enabled !== undefined) hub.setEnabled(deviceId, enabled);
}

function credentialOf(auth: NonNullable<v.InferOutput<typeof deviceSpec>["auth"]>): DeviceAuth {
  switch (auth.type) {
    case "ca":
      return { type: "ca" };
    case "selfSigned": {
      const { primaryThumbprint, secondaryThumbprint } = auth;
      return {
        type: "selfSigned",
        ...(primaryThumbprint === undefined ? {} : { primaryThumbprint }),
        ...(secondaryThumbprint === undefined ? {} : { secondaryThumbprint }),
      };
    }
    case "sas":
      return {
        type: "sas",
        primaryKey: auth.primaryKey ?? createKey(),
        secondaryKey: auth.secondaryKey ?? createKey(),
      };
  }
}
