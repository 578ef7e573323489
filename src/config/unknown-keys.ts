import type { GenericSchema } from "valibot";
import { schemaBelow, shapeOf } from "./key-doc.ts";
import { nearestName } from "./nearest-name.ts";
import { keyOf } from "./key-path.ts";
import type { Problem } from "./problem.ts";
import type { Tree, TreePath } from "./toml-tree.ts";

/** A problem for every key the schema does not know, with the name that was probably meant. */
export function unknownKeys(schema: GenericSchema, root: Tree): readonly Problem[] {
  const problems: Problem[] = [];
  const visit = (tree: Tree, path: TreePath, within: GenericSchema): void => {
    for (const [step, child] of stepsOf(tree)) {
      const below = schemaBelow(within, step);
      const { entries, item } = below === undefined ? {} : shapeOf(below);
      if (below === undefined) {
        problems.push(unknownKey(schema, within, root, [...path, step], child));
      } else if (entries !== undefined || item !== undefined) {
        visit(child, [...path, step], below);
      }
    }
  };
  visit(root, [], schema);
  return problems;
}

/** Only steps that the schema can judge: a list where a table belongs is a fault of its value, not of its names. */
function stepsOf(tree: Tree): readonly (readonly [string | number, Tree])[] {
  if (tree.kind === "table") return [...tree.entries];
  return tree.kind === "list" ? [...tree.items.entries()] : [];
}

function unknownKey(
  root: GenericSchema,
  table: GenericSchema,
  tree: Tree,
  path: TreePath,
  at: Tree,
): Problem {
  return {
    ...at.place,
    key: keyOf(tree, path),
    message: "expected a known name, found one that does not exist here",
    fix: fixFor(String(path.at(-1)), root, table),
  };
}

function fixFor(name: string, root: GenericSchema, table: GenericSchema): string {
  const here = Object.keys(shapeOf(table).entries ?? {});
  const elsewhere = tablesOf(root).filter(({ names }) => names !== undefined);
  const exact = elsewhere
    .filter(({ names }) => names.includes(name))
    .map(({ header }) => placement(header, name));
  if (exact.length > 0) return exact.join(", or ");
  const near = nearestName(name, here);
  if (near !== undefined) return `did you mean ${near}?`;
  for (const { header, names } of elsewhere) {
    const far = nearestName(name, names);
    if (far !== undefined) return `did you mean ${far}? If so, ${placement(header, far)}`;
  }
  return `delete the line, or use one of the names known here: ${here.join(", ")}`;
}

function placement(header: string, name: string): string {
  return header === "" ? `move ${name} above the first [table]` : `move ${name} under ${header}`;
}

/** Every table with the names in it; "" is the top of the file. */
function tablesOf(
  root: GenericSchema,
): readonly { readonly header: string; readonly names: readonly string[] }[] {
  const entries = Object.entries(shapeOf(root).entries ?? {});
  const tables = entries.flatMap(([name, schema]) => {
    const { entries, item } = shapeOf(schema);
    if (entries !== undefined) return [{ header: `[${name}]`, names: Object.keys(entries) }];
    if (item === undefined) return [];
    return [{ header: `[[${name}]]`, names: Object.keys(shapeOf(item).entries ?? {}) }];
  });
  const top = entries.map(([name]) => name);
  return [{ header: "", names: top }, ...tables];
}
