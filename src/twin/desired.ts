import { isJson, isJsonObject, mergePatch, ownMember, type JsonObject } from "../platform/json.ts";

/** What the twin wants, at the version that the acknowledgements answer (`av`). `$version` and `$metadata` are not among the properties. */
export interface Desired {
  readonly version: number;
  readonly properties: JsonObject;
}

export type ParsedTwin =
  | { readonly status: "parsed"; readonly desired: Desired; readonly reported: JsonObject }
  | { readonly status: "malformed"; readonly problems: readonly string[] };

export type PatchResult =
  | { readonly status: "applied"; readonly desired: Desired }
  /** Already contained in what we have: drop it. */
  | { readonly status: "duplicate" }
  /** Versions are missing in between: get the whole twin again. */
  | { readonly status: "gap" }
  | { readonly status: "malformed"; readonly problem: string };

/**
 * Reads the answer of a twin GET: `{"desired":{…,"$version":n},"reported":{…,"$version":n}}`.
 *
 * A missing `reported` counts as empty: it is only what we compare with.
 * @see https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-device-twins
 */
export function parseTwin(document: unknown): ParsedTwin {
  if (!isJson(document)) return { status: "malformed", problems: ["twin: not JSON or nested too deeply"] };
  if (!isJsonObject(document)) return { status: "malformed", problems: ["twin: not an object"] };
  const desired = ownMember(document, "desired");
  const reported = ownMember(document, "reported") ?? {};
  const problems: string[] = [];
  if (!isJsonObject(desired)) problems.push("desired: not an object");
  const version = isJsonObject(desired) ? versionOf(desired) : undefined;
  if (isJsonObject(desired) && version === undefined)
    problems.push("desired.$version: not a whole number of at least 0");
  if (!isJsonObject(reported)) problems.push("reported: not an object");
  if (!isJsonObject(desired) || !isJsonObject(reported) || version === undefined)
    return { status: "malformed", problems };
  return {
    status: "parsed",
    desired: { version, properties: withoutReserved(desired) },
    reported: withoutReserved(reported),
  };
}

/**
 * Brings `current` forward by one notification. The hub numbers every change of desired properties by one,
 * does not queue them while the device is away and may repeat them.
 */
export function applyDesiredPatch(current: Desired, patch: unknown): PatchResult {
  if (!isJson(patch)) return { status: "malformed", problem: "patch: not JSON or nested too deeply" };
  if (!isJsonObject(patch)) return { status: "malformed", problem: "patch: not an object" };
  const version = versionOf(patch);
  if (version === undefined)
    return { status: "malformed", problem: "patch.$version: not a whole number of at least 0" };
  if (version <= current.version) return { status: "duplicate" };
  if (version > current.version + 1) return { status: "gap" };
  const properties = mergePatch(current.properties, withoutReserved(patch));
  return { status: "applied", desired: { version, properties } };
}

function versionOf(object: JsonObject): number | undefined {
  const version = ownMember(object, "$version");
  return typeof version === "number" && Number.isSafeInteger(version) && version >= 0 ? version : undefined;
}

function withoutReserved(object: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !key.startsWith("$")));
}
