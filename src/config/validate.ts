import * as v from "valibot";
import { describeValue } from "./describe-value.ts";
import { docOf, schemaBelow, type KeyDoc } from "./key-doc.ts";
import { keyOf, placeAt } from "./key-path.ts";
import type { Problem } from "./problem.ts";
import { configSchema } from "./schema.ts";
import { plainValue, treeAt, type TableTree, type TreePath } from "./toml-tree.ts";
import { unknownKeys } from "./unknown-keys.ts";

export type ValidConfig = v.InferOutput<typeof configSchema>;

/** Checks the merged files against the schema: the typed values, or every problem in the order of the lines. */
export function validate(tree: TableTree): {
  readonly values: ValidConfig | undefined;
  readonly problems: readonly Problem[];
} {
  const result = v.safeParse(configSchema, plainValue(tree), { abortPipeEarly: true });
  const paths = new Map<string, TreePath>();
  for (const issue of result.issues ?? []) {
    const path = documentedPath(pathOf(issue.path ?? []));
    paths.set(JSON.stringify(path), path);
  }
  const problems = [...paths.values()].map((path) => problemAt(tree, path));
  const unknown = unknownKeys(configSchema, tree);
  return { values: result.success ? result.output : undefined, problems: [...problems, ...unknown] };
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
  const doc = docAt(path);
  if (node === undefined) return missingKey(tree, path, doc);
  const value = plainValue(node);
  const words = {
    expected: doc.expected,
    found: describeValue(value),
    fix: doc.fix,
    ...doc.explain?.(value),
  };
  return {
    ...node.place,
    key: keyOf(tree, path),
    message: `expected ${words.expected}, found ${words.found}`,
    fix: words.fix,
  };
}

/** A key that is missing from the top of the file has no line: it can be anywhere. */
function missingKey(tree: TableTree, path: TreePath, doc: KeyDoc): Problem {
  const { file, line } = placeAt(tree, path);
  return {
    file,
    ...(path.length > 1 && { line }),
    key: keyOf(tree, path),
    message: `expected ${doc.expected}, found nothing: the key is mandatory`,
    fix: doc.missing ?? doc.fix,
  };
}

function docAt(path: TreePath): KeyDoc {
  let schema: v.GenericSchema | undefined = configSchema;
  for (const step of path) schema = schema && schemaBelow(schema, step);
  const doc = schema && docOf(schema);
  if (doc === undefined) throw new TypeError(`no documentation for ${path.join(".")}`);
  return doc;
}
