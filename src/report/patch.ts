import type { Reconciled } from "../appliers/reconcile.ts";
import type { PropertyResult } from "../appliers/settle.ts";
import { canonicalJson, isJsonObject, ownMember, type Json, type JsonObject } from "../platform/json.ts";
import { acknowledge } from "./acknowledgement.ts";
import { factEntries, type AgentFacts } from "./facts.ts";
import { measureDepth, measureSize } from "./measure.ts";

/** Of one echoed value: the hub refuses longer strings, and the whole must fit. */
const maxValueBytes = 4 * 1024;
const maxReportedBytes = 32 * 1024;
/** Of objects within each other, in all reported properties. */
const maxDepth = 10;

export interface ReportLimits {
  /** What others keep in the reported properties: it counts too. */
  readonly othersBytes: number;
  /** Values that the hub has refused as they are. */
  readonly isRefused: (result: PropertyResult) => boolean;
}

const noLimits: ReportLimits = { othersBytes: 0, isRefused: () => false };

/**
 * What our part of the reported properties should be: one IoT Plug and Play acknowledgement `{ value, ac, av, ad }` per property, and the
 * component `latebind` with its settings and facts. A top-level null means "must not be there"; keys not named are not ours.
 *
 * A value that is larger than 4 KiB, too deep, refused, or would not fit into the hub's 32 KiB is not echoed.
 * @see https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-device-twins#device-twin-size
 */
export function wantedReported(
  { results, absent }: Pick<Reconciled, "results" | "absent">,
  facts: AgentFacts,
  { othersBytes, isRefused }: ReportLimits = noLimits,
): JsonObject {
  const omitted = new Map<PropertyResult, string>();
  for (const result of results) {
    if (!canBeEchoed(result)) omitted.set(result, "value too large to be reported");
    else if (isRefused(result)) omitted.set(result, "value refused by the hub");
  }
  let wanted = assemble(results, absent, facts, omitted);
  const byFallingSize = results
    .filter((result) => !omitted.has(result))
    .toSorted((a, b) => measureSize(b.value ?? null) - measureSize(a.value ?? null));
  for (const result of byFallingSize) {
    if (measureSize(wanted) + othersBytes <= maxReportedBytes) break;
    omitted.set(result, "value too large to be reported");
    wanted = assemble(results, absent, facts, omitted);
  }
  return wanted;
}

function assemble(
  results: readonly PropertyResult[],
  absent: Reconciled["absent"],
  facts: AgentFacts,
  omitted: ReadonlyMap<PropertyResult, string>,
): JsonObject {
  const settings = results.filter((result) => result.component !== undefined);
  const properties = results.filter((result) => result.component === undefined);
  const answer = (result: PropertyResult): [string, JsonObject] => [
    result.property,
    acknowledge(result, omitted.get(result)),
  ];
  return Object.fromEntries<Json>([
    ...absent
      .filter((name) => name.component === undefined)
      .map((name): [string, null] => [name.property, null]),
    ...properties.map(answer),
    ["latebind", Object.fromEntries<Json>([...settings.map(answer), ...factEntries(facts)])],
  ]);
}

/** The acknowledgement adds a level around the value, and the component another one. */
function canBeEchoed({ component, value }: PropertyResult): boolean {
  if (value === undefined) return true;
  const levels = component === undefined ? 1 : 2;
  return measureSize(value) <= maxValueBytes && measureDepth(value) + levels <= maxDepth;
}

/**
 * The merge patch that turns `previous` into `wanted`; undefined where nothing differs.
 *
 * Top-level keys that `wanted` does not name are not ours and stay; within the named ones everything else is deleted.
 * `mergePatch(previous, diffReported(previous, wanted))` equals `wanted` on its keys, where null stands for absent.
 */
export function diffReported(previous: JsonObject, wanted: JsonObject): JsonObject | undefined {
  return diffMembers(previous, wanted, Object.keys(wanted));
}

function diffMembers(
  previous: JsonObject,
  wanted: JsonObject,
  keys: Iterable<string>,
): JsonObject | undefined {
  const changes = new Map<string, Json>();
  for (const key of keys) {
    const change = diffValue(ownMember(previous, key), ownMember(wanted, key) ?? null);
    if (change !== undefined) changes.set(key, change);
  }
  return changes.size === 0 ? undefined : Object.fromEntries(changes);
}

function diffValue(previous: Json | undefined, wanted: Json): Json | undefined {
  if (wanted === null) return previous === undefined ? undefined : null;
  if (isJsonObject(previous) && isJsonObject(wanted))
    return diffMembers(previous, wanted, new Set([...Object.keys(previous), ...Object.keys(wanted)]));
  return previous !== undefined && canonicalJson(previous) === canonicalJson(wanted) ? undefined : wanted;
}
