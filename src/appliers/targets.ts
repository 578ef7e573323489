import { isJsonObject, ownMember, type Json, type JsonObject } from "../platform/json.ts";
import type { Desired } from "../twin/desired.ts";
import type { Applier, Appliers } from "./applier.ts";

/** A top-level property, or a setting within a component. */
export interface PropertyName {
  readonly component?: string;
  readonly property: string;
}

interface Target {
  readonly name: PropertyName;
  readonly applier: Applier;
  /** Absent where desired does not have the property. */
  readonly value?: Json;
}

export interface Targets {
  readonly targets: readonly Target[];
  /** Settings that a component of ours does not have. */
  readonly unknown: readonly { readonly name: PropertyName; readonly problem: string }[];
  /** Desired properties that are not ours. */
  readonly ignored: readonly string[];
}

/** Each rejection is answered, and the answers must fit into the reported properties; a flood is only counted. */
const maxUnknownSettings = 16;

/** Matches desired with the appliers: the agent's own components first, then the properties, in the order of the appliers. */
export function findTargets(desired: Desired, appliers: Appliers): Targets {
  const components = [...appliers.components].map(([component, settings]) =>
    findSettings(component, settings, ownMember(desired.properties, component)),
  );
  const ignored = Object.keys(desired.properties).filter(
    (property) => !appliers.properties.has(property) && !appliers.components.has(property),
  );
  const properties = [...appliers.properties].map(([property, applier]) =>
    target({ property }, applier, desired.properties),
  );
  return {
    targets: [...components.flatMap((found) => found.targets), ...properties],
    unknown: components.flatMap((found) => found.unknown),
    ignored: [...components.flatMap((found) => found.ignored), ...ignored],
  };
}

function findSettings(
  component: string,
  settings: ReadonlyMap<string, Applier>,
  section: Json | undefined,
): Targets {
  const wanted = isJsonObject(section) ? section : {};
  const known = [...settings.keys()].join(", ");
  const unknown = Object.keys(wanted).filter((setting) => setting !== "__t" && !settings.has(setting));
  return {
    targets: [...settings].map(([property, applier]) => target({ component, property }, applier, wanted)),
    unknown: unknown.slice(0, maxUnknownSettings).map((property) => ({
      name: { component, property },
      problem: `${component} has no such setting; known: ${known}`,
    })),
    ignored: [
      ...(section === undefined || isJsonObject(section) ? [] : [component]),
      ...unknown.slice(maxUnknownSettings).map((setting) => `${component}.${setting}`),
    ],
  };
}

function target(name: PropertyName, applier: Applier, wanted: JsonObject): Target {
  const value = ownMember(wanted, name.property);
  return value === undefined || value === null ? { name, applier } : { name, applier, value };
}

/** One text for one name, whatever is in it. */
export function keyOf({ component, property }: PropertyName): string {
  return JSON.stringify([component ?? null, property]);
}
