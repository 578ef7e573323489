import type { Outcome } from "../appliers/applier.ts";
import type { PropertyResult, Reconciled } from "../appliers/reconcile.ts";
import type { Json, JsonObject } from "../platform/json.ts";
import { measureDepth, measureSize } from "./measure.ts";

/** What the agent tells about itself in its component `latebind`. */
export interface AgentFacts {
  readonly version: string;
  readonly phase: string;
  readonly lastError?: string;
}

/** Of one echoed value: the hub refuses longer strings, and the whole must fit. */
const maxValueBytes = 4 * 1024;
const maxReportedBytes = 32 * 1024;
/** Of objects within each other, in all reported properties. */
const maxDepth = 10;
const maxTextLength = 512;

/**
 * What our part of the reported properties should be: one IoT Plug and Play acknowledgement `{ value, ac, av, ad }` per property, and the
 * component `latebind` with its settings and facts. A top-level null means "must not be there"; keys not named are not ours.
 *
 * `ac` is 200 (in force), 400 (not legal) or 500 (could not be put in force). `value` is what is in force now; it is left out
 * where nobody knows, and where it is larger than 4 KiB, too deep, or would not fit into the hub's 32 KiB: `ad` then says so.
 * @see https://learn.microsoft.com/azure/iot/concepts-convention#writable-properties
 * @see https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-device-twins#device-twin-size
 */
export function wantedReported(
  { results, absent }: Pick<Reconciled, "results" | "absent">,
  facts: AgentFacts,
): JsonObject {
  let omitted: ReadonlySet<PropertyResult> = new Set(results.filter((result) => !canBeEchoed(result)));
  let wanted = assemble(results, absent, facts, omitted);
  const byFallingSize = results
    .filter((result) => !omitted.has(result))
    .toSorted((a, b) => measureSize(b.value ?? null) - measureSize(a.value ?? null));
  for (const result of byFallingSize) {
    if (measureSize(wanted) <= maxReportedBytes) break;
    omitted = new Set([...omitted, result]);
    wanted = assemble(results, absent, facts, omitted);
  }
  return wanted;
}

function assemble(
  results: readonly PropertyResult[],
  absent: Reconciled["absent"],
  facts: AgentFacts,
  omitted: ReadonlySet<PropertyResult>,
): JsonObject {
  const settings = results.filter((result) => result.component !== undefined);
  const properties = results.filter((result) => result.component === undefined);
  const acknowledge = (result: PropertyResult): [string, JsonObject] => [
    result.property,
    acknowledgement(result, omitted.has(result)),
  ];
  return Object.fromEntries<Json>([
    ...absent
      .filter((name) => name.component === undefined)
      .map((name): [string, null] => [name.property, null]),
    ...properties.map(acknowledge),
    ["latebind", Object.fromEntries<Json>([...settings.map(acknowledge), ...factEntries(facts)])],
  ]);
}

/** After the settings: an unknown setting that is called like a fact does not hide it. */
function factEntries(facts: AgentFacts): readonly [string, Json][] {
  const lastError: [string, Json][] =
    facts.lastError === undefined ? [] : [["lastError", plainText(facts.lastError)]];
  return [
    ["__t", "c"],
    ["version", plainText(facts.version)],
    ["phase", plainText(facts.phase)],
    ...lastError,
  ];
}

function acknowledgement(result: PropertyResult, isOmitted: boolean): JsonObject {
  const { ac, text } = judge(result.outcome);
  const hasValue = result.value !== undefined;
  const ad = plainText(hasValue && isOmitted ? `${text}; the value is too large to be reported` : text);
  const answer = { ac, av: result.version, ad };
  return hasValue && !isOmitted ? { value: result.value, ...answer } : answer;
}

function judge(outcome: Outcome): { readonly ac: number; readonly text: string } {
  switch (outcome.status) {
    case "unchanged":
    case "applied":
      return { ac: 200, text: "in force" };
    case "rejected":
      return { ac: 400, text: outcome.problems.join("; ") };
    case "failed":
      return { ac: 500, text: `${outcome.code}: ${outcome.message}` };
  }
}

/** The acknowledgement adds a level around the value, and the component another one. */
function canBeEchoed({ component, value }: PropertyResult): boolean {
  if (value === undefined) return true;
  const levels = component === undefined ? 1 : 2;
  return measureSize(value) <= maxValueBytes && measureDepth(value) + levels <= maxDepth;
}

/** One line of at most 512 characters that is valid Unicode and has no control characters. */
function plainText(text: string): string {
  const line = text
    .toWellFormed()
    .replaceAll(/\p{Cc}+/gu, " ")
    .trim();
  if (line.length <= maxTextLength) return line;
  // A pair cut in two becomes one replacement character, which is as long as the half.
  return `${line.slice(0, maxTextLength - 1).toWellFormed()}…`;
}
