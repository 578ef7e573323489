import { isJsonObject, type JsonObject, type JsonValue } from "./json.ts";
import { findTwinProblem } from "./twin-limits.ts";

export interface TwinSection {
  readonly properties: JsonObject;
  readonly version: number;
}

/** What the hub keeps about a device beside its keys. Tags are the operator's own: devices never see them. */
export interface Twin {
  readonly desired: TwinSection;
  readonly reported: TwinSection;
  readonly tags: JsonObject;
}

export type TwinPatchResult =
  | { readonly status: "merged"; readonly section: TwinSection; readonly patch: JsonObject }
  | { readonly status: "rejected"; readonly because: string };

/** Content that an enrollment gives to a new device. */
export interface InitialTwin {
  readonly tags?: JsonObject | undefined;
  readonly desired?: JsonObject | undefined;
}

/** A new device's twin: versions start over, at 1 when empty. */
export function createTwin(initial: InitialTwin & { readonly reported?: JsonObject }): Twin {
  return {
    desired: firstSection(initial.desired ?? {}),
    reported: firstSection(initial.reported ?? {}),
    tags: initial.tags ?? {},
  };
}

function firstSection(properties: JsonObject): TwinSection {
  return { properties, version: Object.keys(properties).length === 0 ? 1 : 2 };
}

/**
 * Merges a patch (RFC 7396, objects only) into a section. Every accepted patch raises the version, also one that changes
 * nothing. `$version` and `$metadata` at the top belong to the hub and are dropped from the patch.
 */
export function patchSection(section: TwinSection, body: JsonValue | undefined): TwinPatchResult {
  if (!isJsonObject(body)) return { status: "rejected", because: "the body is not a JSON object" };
  const { $version: _version, $metadata: _metadata, ...patch } = body;
  const properties = mergePatch(section.properties, patch);
  const problem = findTwinProblem(patch, properties);
  if (problem !== undefined) return { status: "rejected", because: problem };
  return { status: "merged", section: { properties, version: section.version + 1 }, patch };
}

type TagsPatchResult =
  | { readonly status: "merged"; readonly tags: JsonObject }
  | { readonly status: "rejected"; readonly because: string };

/** Tags follow the rules of sections but may take 8 KB only, and have no version. */
export function patchTags(tags: JsonObject, patch: JsonObject): TagsPatchResult {
  const merged = mergePatch(tags, patch);
  const problem = findTwinProblem(patch, merged, "tags");
  return problem === undefined
    ? { status: "merged", tags: merged }
    : { status: "rejected", because: problem };
}

/** RFC 7396: null deletes, objects merge, everything else replaces. */
export function mergePatch(target: JsonObject, patch: JsonObject): JsonObject {
  const merged = new Map<string, JsonValue>(Object.entries(target));
  for (const [key, value] of Object.entries(patch)) {
    const old = merged.get(key);
    if (value === null) merged.delete(key);
    else if (isJsonObject(value)) merged.set(key, mergePatch(isJsonObject(old) ? old : {}, value));
    else merged.set(key, value);
  }
  return Object.fromEntries(merged);
}

/** The document that a device gets for a twin GET. */
export function renderTwin({ desired, reported }: Twin): string {
  return JSON.stringify({
    desired: { ...desired.properties, $version: desired.version },
    reported: { ...reported.properties, $version: reported.version },
  });
}
