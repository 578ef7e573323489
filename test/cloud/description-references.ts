/**
 * Names that lead nowhere, each behind its path. It looks at the text as it was given and takes what has another shape for
 * absent: the schema complains about that, and one look shall show all problems.
 * @param hubsBeside those that there are beside its own.
 * @param defaultHubs those that there are where none is named at all.
 */
export function findDangling(
  description: unknown,
  hubsBeside: readonly string[],
  defaultHubs: readonly string[],
): readonly string[] {
  const described = Object.keys(tableAt(description, "hubs"));
  const hubs = [...described, ...hubsBeside];
  const known: Known = {
    hub: new Set(hubs.length === 0 ? defaultHubs : hubs),
    "CA certificate": new Set(Object.keys(tableAt(description, "caCertificates"))),
    "credential policy": new Set(Object.keys(tableAt(description, "credentialPolicies"))),
  };
  const references = [
    ...["enrollments", "enrollmentGroups"].flatMap((section) => enrollmentReferences(description, section)),
    ...Object.entries(tableAt(description, "hubs")).flatMap(([name, hub]) => {
      const { policy } = tableAt(hub, "certificateIssuance");
      return one(`hubs.${name}.certificateIssuance.policy`, "credential policy", policy);
    }),
    ...listAt(description, "faults").flatMap((fault, index) => {
      const { endpoint } = toTable(fault);
      return endpoint === "dps" ? [] : one(`faults.${index}.endpoint`, "hub", endpoint);
    }),
  ];
  return references
    .filter(({ kind, name }) => !known[kind].has(name))
    .map(({ path, kind, name }) => `${path}: there is no ${kind} ${name}`);
}

type Kind = "hub" | "CA certificate" | "credential policy";
type Known = Readonly<Record<Kind, ReadonlySet<string>>>;

interface Reference {
  readonly path: string;
  readonly kind: Kind;
  readonly name: string;
}

function enrollmentReferences(description: unknown, section: string): readonly Reference[] {
  return Object.entries(tableAt(description, section)).flatMap(([name, enrollment]) => {
    const { hub, credentialPolicy } = toTable(enrollment);
    const path = `${section}.${name}`;
    const list = listAt(enrollment, "hubs");
    const authorities = listAt(tableAt(enrollment, "attestation"), "caReferences");
    return [
      one(`${path}.hub`, "hub", hub),
      list.flatMap((hub, index) => one(`${path}.hubs.${index}`, "hub", hub)),
      one(`${path}.credentialPolicy`, "credential policy", credentialPolicy),
      authorities.flatMap((ca, index) =>
        one(`${path}.attestation.caReferences.${index}`, "CA certificate", ca),
      ),
    ].flat();
  });
}

function one(path: string, kind: Kind, name: unknown): readonly Reference[] {
  return typeof name === "string" ? [{ path, kind, name }] : [];
}

type Table = Readonly<Record<string, unknown>>;

function toTable(value: unknown): Table {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function tableAt(value: unknown, key: string): Table {
  return toTable(toTable(value)[key]);
}

function listAt(value: unknown, key: string): readonly unknown[] {
  const list = toTable(value)[key];
  return Array.isArray(list) ? list : [];
}
