import * as v from "valibot";
import { describeValue } from "./describe-value.ts";
import { defaultOf, docOf, schemaBelow, type Diagnosis, type KeyDoc } from "./key-doc.ts";
import { keyOf, placeAt } from "./key-path.ts";
import type { Problem } from "./problem.ts";
import { configSchema } from "./schema.ts";
import { plainValue, treeAt, type TableTree, type TreePath } from "./toml-tree.ts";
import { unknownKeys } from "./unknown-keys.ts";

export type ValidConfig = v.InferOutput<typeof configSchema>;

/** Checks the merged files against the schema: the typed values, or every problem. */
export function validate(tree: TableTree): {
  readonly values: ValidConfig | undefined;
  readonly problems: readonly Problem[];
} {
  const result = v.safeParse(configSchema, plainValue(tree), { abortPipeEarly: true });
  const unknown = unknownKeys(configSchema, tree);
  const meant = new Set(unknown.map((key) => key.meant));
  const paths = new Map<string, TreePath>();
  for (const issue of result.issues ?? []) {
    const path = documentedPath(pathOf(issue.path ?? []));
    // A misspelt or misplaced key is one fault, not a missing key besides.
    const isMissing = treeAt(tree, path) === undefined;
    if (!(isMissing && meant.has(JSON.stringify(path)))) paths.set(JSON.stringify(path), path);
  }
  return {
    values: result.success ? result.output : undefined,
    problems: [
      ...[...paths.values()].map((path) => problemAt(tree, path)),
      ...unknown.map(({ problem }) => problem),
    ],
  };
}

function pathOf(items: readonly { readonly key: unknown }[]): TreePath {
  return items.map(({ key }) => (typeof key === "number" ? key : String(key)));
}

/** The part of a path that a person knows as a key: one bad argument is a fault of `command`. */
function documentedPath(path: TreePath): TreePath {
  let schema: v.GenericSchema | undefined = configSchema;
  for (const [depth, step] of path.entries()) {
    schema = schemaBelow(schema, step);
    if (schema === undefined) return path.slice(0, depth);
  }
  return path;
}

function problemAt(tree: TableTree, path: TreePath): Problem {
  const node = treeAt(tree, path);
  const schema = schemaAt(path);
  if (node === undefined) return missingKey(tree, path, docOf(schema));
  const value = plainValue(node);
  const words = { ...generalWords(schema, path, value), ...docOf(schema).explain?.(value) };
  return {
    ...node.place,
    key: keyOf(tree, path),
    message: `expected ${words.expected}, found ${words.found}`,
    fix: words.fix,
  };
}

function generalWords(schema: v.GenericSchema, path: TreePath, value: unknown): Diagnosis {
  const doc = docOf(schema);
  const standard = defaultOf(schema);
  const header = path[0] === "apply" ? "[[apply]]" : `[${path[0]}]`;
  const general =
    standard === undefined
      ? `write ${header} on a line of its own and its settings below`
      : `change it, or delete the line to get ${standard}`;
  return { expected: doc.expected ?? "a table", found: describeValue(value), fix: doc.fix ?? general };
}

/** A key that is missing from the top of the file has no line: it can be anywhere. */
function missingKey(tree: TableTree, path: TreePath, doc: KeyDoc): Problem {
  const { file, line } = placeAt(tree, path);
  return {
    file,
    ...(path.length > 1 && { line }),
    key: keyOf(tree, path),
    message: "expected this mandatory setting, found nothing",
    fix: doc.missing ?? "add it",
  };
}

function schemaAt(path: TreePath): v.GenericSchema {
  let schema: v.GenericSchema = configSchema;
  for (const step of path) schema = schemaBelow(schema, step) ?? schema;
  return schema;
}
