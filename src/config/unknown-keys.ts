import type { GenericSchema } from "valibot";
import { schemaBelow, shapeOf } from "./key-doc.ts";
import { keyOf } from "./key-path.ts";
import { nearestName } from "./nearest-name.ts";
import type { Problem } from "./problem.ts";
import type { Tree, TreePath } from "./toml-tree.ts";

interface UnknownKey {
  readonly problem: Problem;
  /** JSON of the path that was probably meant. */
  readonly meant?: string;
}

/** Every key the schema does not know, with the name or the table that was probably meant. */
export function unknownKeys(schema: GenericSchema, root: Tree): readonly UnknownKey[] {
  const found: UnknownKey[] = [];
  const visit = (tree: Tree, path: TreePath, within: GenericSchema): void => {
    for (const [step, child] of stepsOf(tree, within)) {
      const here = [...path, step];
      const below = schemaBelow(within, step);
      if (below === undefined) found.push(unknownKey(schema, root, here, child));
      else visit(child, here, below);
    }
  };
  visit(root, [], schema);
  return found;
}

/** A value of the wrong kind is reported as such and its insides are not; a payload's insides are the operator's own. */
function stepsOf(tree: Tree, schema: GenericSchema): readonly (readonly [string | number, Tree])[] {
  const { entries, item } = shapeOf(schema);
  if (tree.kind === "table" && entries !== undefined) return [...tree.entries];
  return tree.kind === "list" && item !== undefined ? [...tree.items.entries()] : [];
}

function unknownKey(schema: GenericSchema, root: Tree, path: TreePath, at: Tree): UnknownKey {
  const { fix, meant } = suggest(schema, path);
  const problem = {
    ...at.place,
    key: keyOf(root, path),
    message: "expected a setting known in this place, found an unknown name",
    fix,
  };
  return meant === undefined ? { problem } : { problem, meant: JSON.stringify(meant) };
}

interface Suggestion {
  readonly fix: string;
  readonly meant?: TreePath;
}

/** Nearest first: the same name in another table, a similar name here, a similar name in another table. */
function suggest(schema: GenericSchema, path: TreePath): Suggestion {
  const name = String(path.at(-1));
  const tables = tablesOf(schema);
  const here = tables.find((table) => table.name === (path.length === 1 ? "" : path[0]));
  const homes = tables.filter((table) => table.keys.includes(name));
  const [home] = homes;
  if (home !== undefined) {
    return { fix: homes.map((table) => placement(table, name)).join(", or "), meant: pathIn(home, name) };
  }
  const near = nearestName(name, here?.keys ?? []);
  if (near !== undefined) return { fix: `did you mean ${near}?`, meant: [...path.slice(0, -1), near] };
  for (const table of tables) {
    const far = nearestName(name, table.keys);
    if (far !== undefined) {
      return { fix: `did you mean ${far}? Then ${placement(table, far)}`, meant: pathIn(table, far) };
    }
  }
  return { fix: `delete it; what is known here: ${here?.keys.join(", ")}` };
}

interface Table {
  /** Empty for the top of the file. */
  readonly name: string;
  readonly header: string;
  readonly keys: readonly string[];
}

function tablesOf(schema: GenericSchema): readonly Table[] {
  const top = Object.entries(shapeOf(schema).entries ?? {});
  const tables = top.flatMap(([name, child]) => {
    const { entries, item } = shapeOf(child);
    if (entries !== undefined) return [{ name, header: `[${name}]`, keys: Object.keys(entries) }];
    if (item === undefined) return [];
    return [{ name, header: `[[${name}]]`, keys: Object.keys(shapeOf(item).entries ?? {}) }];
  });
  return [{ name: "", header: "", keys: top.map(([name]) => name) }, ...tables];
}

function placement(table: Table, key: string): string {
  return table.name === ""
    ? `move ${key} to the top of the file, above the first [table]`
    : `move ${key} under ${table.header}`;
}

function pathIn(table: Table, key: string): TreePath {
  return table.name === "" ? [key] : [table.name, key];
}
