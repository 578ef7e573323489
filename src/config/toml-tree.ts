import { parseTOML, ParseError, type AST } from "toml-eslint-parser";
import type { Problem } from "./problem.ts";

export interface Place {
  readonly file: string;
  readonly line: number;
}

/** A TOML value that remembers where it was written. */
export type Tree =
  | { readonly kind: "table"; readonly place: Place; readonly entries: Map<string, Tree> }
  | { readonly kind: "list"; readonly place: Place; readonly items: Tree[] }
  | { readonly kind: "value"; readonly place: Place; readonly value: unknown };
export type TableTree = Extract<Tree, { kind: "table" }>;

export type TreePath = readonly (string | number)[];

/** Reads one TOML 1.0 file into a tree, or says where its syntax breaks. The parser stops at the first syntax fault. */
export function parseTree(file: string, text: string): TableTree | Problem {
  try {
    const [top] = parseTOML(text, { tomlVersion: "1.0" }).body;
    return documentTree(file, top);
  } catch (error) {
    if (error instanceof ParseError) return syntaxProblem(file, error);
    throw error;
  }
}

/** The same document as ordinary objects, arrays and values. */
export function plainValue(tree: Tree): unknown {
  switch (tree.kind) {
    case "table":
      // fromEntries defines own properties, so a key `__proto__` is data like any other.
      return Object.fromEntries([...tree.entries].map(([name, child]) => [name, plainValue(child)]));
    case "list":
      return tree.items.map(plainValue);
    case "value":
      return tree.value;
  }
}

/** The node at a path, or undefined where there is none. */
export function treeAt(tree: Tree, path: TreePath): Tree | undefined {
  let node: Tree | undefined = tree;
  for (const step of path) node = node === undefined ? undefined : childOf(node, step);
  return node;
}

export function childOf(tree: Tree, step: string | number): Tree | undefined {
  if (tree.kind === "table") return tree.entries.get(String(step));
  return tree.kind === "list" ? tree.items[Number(step)] : undefined;
}

function documentTree(file: string, top: AST.TOMLTopLevelTable): TableTree {
  const root = emptyTable({ file, line: 1 });
  for (const node of top.body) {
    if (node.type === "TOMLKeyValue") {
      addKeyValue(root, file, node);
    } else {
      const table = openTable(root, node.resolvedKey, placeOf(file, node));
      for (const keyValue of node.body) addKeyValue(table, file, keyValue);
    }
  }
  return root;
}

function addKeyValue(table: TableTree, file: string, node: AST.TOMLKeyValue): void {
  const names = node.key.keys.map((key) => (key.type === "TOMLBare" ? key.name : key.value));
  const place = placeOf(file, node);
  const parent = openTable(table, names.slice(0, -1), place);
  parent.entries.set(names.at(-1) ?? "", valueTree(file, node.value, place));
}

function valueTree(file: string, node: AST.TOMLContentNode, place: Place): Tree {
  switch (node.type) {
    case "TOMLValue":
      return { kind: "value", place, value: node.value };
    case "TOMLArray":
      return {
        kind: "list",
        place,
        items: node.elements.map((element) => valueTree(file, element, placeOf(file, element))),
      };
    case "TOMLInlineTable": {
      const table = emptyTable(place);
      for (const keyValue of node.body) addKeyValue(table, file, keyValue);
      return table;
    }
  }
}

/** Walks to a table and makes what is missing on the way. The parser has refused keys that are defined twice. */
function openTable(root: TableTree, path: TreePath, place: Place): TableTree {
  let node: Tree = root;
  for (const [depth, step] of path.entries()) {
    const existing = childOf(node, step);
    node = existing ?? attach(node, step, typeof path[depth + 1] === "number" ? "list" : "table", place);
  }
  if (node.kind !== "table") throw new TypeError(`${path.join(".")} is not a table`);
  return node;
}

function attach(parent: Tree, step: string | number, kind: "table" | "list", place: Place): Tree {
  const child: Tree = kind === "list" ? { kind, place, items: [] } : emptyTable(place);
  if (parent.kind === "table") parent.entries.set(String(step), child);
  if (parent.kind === "list") parent.items[Number(step)] = child;
  return child;
}

function emptyTable(place: Place): TableTree {
  return { kind: "table", place, entries: new Map() };
}

function placeOf(file: string, node: AST.TOMLNode): Place {
  return { file, line: node.loc.start.line };
}

function syntaxProblem(file: string, error: ParseError): Problem {
  return {
    file,
    line: error.lineNumber,
    column: error.column + 1,
    message: `not valid TOML: ${error.message.charAt(0).toLowerCase()}${error.message.slice(1)}`,
    fix: 'write each setting on its own line as name = "text" and each table name once, as [name]',
  };
}
