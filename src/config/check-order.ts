import { rulePaths } from "./check-rules.ts";
import { quote } from "./describe-value.ts";
import { keyOf, placeAt } from "./key-path.ts";
import type { Problem } from "./problem.ts";
import { plainValue, treeAt, type Tree, type TreePath } from "./toml-tree.ts";

interface Rule {
  readonly property: string;
  readonly after: readonly string[];
  /** Of its `after`. */
  readonly path: TreePath;
}

/** That `after` names properties which have rules, and leads to no circle: each circle is told once. */
export function checkOrder(tree: Tree): readonly Problem[] {
  const rules = rulePaths(tree).flatMap((path) => readRule(tree, path));
  const byName = new Map(rules.map((rule) => [rule.property, rule]));
  const told = new Set<string>();
  const problems: Problem[] = [];
  for (const rule of rules) {
    for (const name of rule.after.filter((one) => !byName.has(one)))
      problems.push(problem(tree, rule, `${quote(name)}, which has no rule`, "name a property that has one"));
    const circle = findCircle(rule, byName);
    if (circle === undefined || circle.some((name) => told.has(name))) continue;
    for (const name of circle) told.add(name);
    const found = `the circle ${circle.map(quote).join(" after ")}`;
    problems.push(problem(tree, rule, found, "take one of them out of its after"));
  }
  return problems;
}

function readRule(tree: Tree, path: TreePath): readonly Rule[] {
  const property = treeAt(tree, [...path, "property"]);
  const after = treeAt(tree, [...path, "after"]);
  const name = property === undefined ? undefined : plainValue(property);
  const names = after === undefined ? [] : plainValue(after);
  if (typeof name !== "string" || !Array.isArray(names)) return [];
  const texts = names.filter((one) => typeof one === "string");
  return [{ property: name, after: texts, path: [...path, "after"] }];
}

/** From a rule along `after` back to itself: `["a", "b", "a"]`. */
function findCircle(start: Rule, byName: ReadonlyMap<string, Rule>): readonly string[] | undefined {
  const seen = new Set<string>();
  const walk = (rule: Rule, way: readonly string[]): readonly string[] | undefined => {
    for (const name of rule.after) {
      if (name === start.property) return [...way, name];
      const next = byName.get(name);
      if (next === undefined || seen.has(name)) continue;
      seen.add(name);
      const circle = walk(next, [...way, name]);
      if (circle !== undefined) return circle;
    }
    return undefined;
  };
  return walk(start, [start.property]);
}

function problem(tree: Tree, { path }: Rule, found: string, fix: string): Problem {
  const expected = "expected properties that have rules, without a circle";
  return { ...placeAt(tree, path), key: keyOf(tree, path), message: `${expected}, found ${found}`, fix };
}
