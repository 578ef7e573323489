import { isJsonObject, type Json, type JsonObject } from "../platform/json.ts";
import { measureSize } from "./measure.ts";

/** The smallest piece of a patch that is sent or refused on its own: a property, or a member of a section that has many owners. */
export interface Unit {
  readonly path: readonly [string] | readonly [section: string, member: string];
  readonly content: Json;
}

/** Sections whose members have nothing to do with each other. */
const sections: ReadonlySet<string> = new Set(["latebind", "programs"]);

/** A patch in pieces, deletions first: they make room for the rest. `joinUnits` puts it together again. */
export function unitsOf(patch: JsonObject): readonly Unit[] {
  const units = Object.entries(patch).flatMap(([name, content]): readonly Unit[] =>
    sections.has(name) && isJsonObject(content)
      ? Object.entries(content).map(([member, inner]) => ({ path: [name, member], content: inner }))
      : [{ path: [name], content }],
  );
  return [
    ...units.filter(({ content }) => content === null),
    ...units.filter(({ content }) => content !== null),
  ];
}

export function joinUnits(units: readonly Unit[]): JsonObject {
  const joined = new Map<string, Json | Map<string, Json>>();
  for (const { path, content } of units) {
    const [name, member] = path;
    const before = joined.get(name);
    if (member === undefined) joined.set(name, content);
    else if (before instanceof Map) before.set(member, content);
    else joined.set(name, new Map([[member, content]]));
  }
  return Object.fromEntries(
    [...joined].map(([name, content]) => [
      name,
      content instanceof Map ? Object.fromEntries(content) : content,
    ]),
  );
}

/** In their order, as few batches as hold no more than `maxBytes` each; a unit that is larger goes alone. */
export function batchUnits(units: readonly Unit[], maxBytes: number): readonly (readonly Unit[])[] {
  const batches: Unit[][] = [];
  for (const unit of units) {
    const last = batches.at(-1);
    if (last !== undefined && measureSize(joinUnits([...last, unit])) <= maxBytes) last.push(unit);
    else batches.push([unit]);
  }
  return batches;
}

/** One text for one place, whatever characters its names have. */
export function unitKey({ path }: Pick<Unit, "path">): string {
  return JSON.stringify(path);
}
