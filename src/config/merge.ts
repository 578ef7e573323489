import type { Problem } from "./problem.ts";
import type { Place, TableTree, Tree } from "./toml-tree.ts";

/**
 * Lays files over each other in their order: tables are merged key by key, later values replace earlier ones, the
 * entries of `[[apply]]` are appended.
 */
export function mergeTrees(trees: readonly [TableTree, ...TableTree[]]): {
  readonly tree: TableTree;
  readonly problems: readonly Problem[];
} {
  const problems: Problem[] = [];
  const [first, ...later] = trees;
  const tree = later.reduce((merged, next) => mergeTables(merged, next, "", problems), first);
  return { tree, problems };
}

function mergeTables(earlier: TableTree, later: TableTree, prefix: string, problems: Problem[]): TableTree {
  const entries = new Map(earlier.entries);
  for (const [name, next] of later.entries) {
    const before = entries.get(name);
    entries.set(name, before === undefined ? next : mergeNodes(before, next, prefix + name, problems));
  }
  return { kind: "table", place: earlier.place, entries };
}

function mergeNodes(earlier: Tree, later: Tree, key: string, problems: Problem[]): Tree {
  if (earlier.kind === "table" && later.kind === "table") {
    return mergeTables(earlier, later, `${key}.`, problems);
  }
  if (earlier.kind === "list" && later.kind === "list" && key === "apply") {
    return { kind: "list", place: earlier.place, items: [...earlier.items, ...later.items] };
  }
  if (earlier.kind !== later.kind) problems.push(kindProblem(earlier, later, key));
  return later;
}

function kindProblem(earlier: Tree, later: Tree, key: string): Problem {
  return {
    ...later.place,
    key,
    message: `is ${kindNames[later.kind]} here but ${kindNames[earlier.kind]} at ${formatPlace(earlier.place)}`,
    fix: "write it the same way in both files",
  };
}

const kindNames = { table: "a table", list: "a list", value: "a single value" } as const;

export function formatPlace(place: Place): string {
  return `${place.file}:${place.line}`;
}
