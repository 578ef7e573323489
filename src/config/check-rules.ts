import { keyOf, placeAt } from "./key-path.ts";
import type { Problem } from "./problem.ts";
import { treeAt, type Tree, type TreePath } from "./toml-tree.ts";

/** What a rule can make of its property, and the settings that only go with it. */
const kinds: ReadonlyMap<string, readonly string[]> = new Map([
  ["file", ["format", "template", "mode", "owner", "command"]],
  ["handler", []],
  ["units", []],
]);

/**
 * What the settings of one `[[apply]]` table say together: that the property becomes exactly one thing, and that every other setting goes
 * with it. Works on the tree, because a default is no contradiction.
 */
export function checkRules(tree: Tree): readonly Problem[] {
  return rulePaths(tree).flatMap((rule) => checkRule(tree, rule));
}

function checkRule(tree: Tree, rule: TreePath): readonly Problem[] {
  const [kind, ...others] = [...kinds.keys()].filter((name) => has(tree, rule, name));
  if (kind === undefined) return [withoutKind(tree, rule)];
  const foreign = [...kinds].flatMap(([name, settings]) =>
    name === kind || others.includes(name) ? [] : settings,
  );
  const misplaced = [...others, ...foreign].filter((setting) => has(tree, rule, setting));
  // What a handler did, only it could judge.
  if (kind === "handler")
    misplaced.push(...["drift_check", "mend"].filter((setting) => has(tree, rule, setting)));
  const problems = misplaced.map((setting) => conflict(tree, [...rule, setting], kind));
  if (has(tree, rule, "format") && has(tree, rule, "template"))
    problems.push(conflict(tree, [...rule, "template"], "format"));
  return problems;
}

/** The tables under `[[apply]]`. */
export function rulePaths(tree: Tree): readonly TreePath[] {
  const list = treeAt(tree, ["apply"]);
  return list?.kind === "list" ? list.items.map((_, index) => ["apply", index]) : [];
}

function has(tree: Tree, rule: TreePath, name: string): boolean {
  return treeAt(tree, [...rule, name]) !== undefined;
}

function withoutKind(tree: Tree, rule: TreePath): Problem {
  return {
    ...placeAt(tree, rule),
    key: keyOf(tree, rule),
    message: `expected one of ${[...kinds.keys()].join(", ")}, found none of them`,
    fix: 'add the line file = "/PATH" with the file to write',
  };
}

function conflict(tree: Tree, path: TreePath, other: string): Problem {
  return {
    ...placeAt(tree, path),
    key: keyOf(tree, path),
    message: `expected no ${path.at(-1)} beside ${other}, found both`,
    fix: "delete one of the two lines",
  };
}
