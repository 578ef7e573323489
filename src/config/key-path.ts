import { looksLikeCredential, quote } from "./describe-value.ts";
import { childOf, treeAt, type Place, type Tree, type TreePath } from "./toml-tree.ts";

/**
 * A path as a person reads it: `apply[0].mode`. The entries of merged lists are counted within their own file, because that
 * is the file which will be searched.
 */
export function keyOf(root: Tree, path: TreePath): string {
  return path
    .map((step, depth) => {
      if (typeof step === "number") return `[${indexInFile(treeAt(root, path.slice(0, depth)), step)}]`;
      const isBare = /^[A-Za-z0-9_-]{1,60}$/.test(step) && !looksLikeCredential(step);
      const name = isBare ? step : quote(step);
      return depth === 0 ? name : `.${name}`;
    })
    .join("");
}

/** The place of the node at a path, or of the nearest node above it that exists. */
export function placeAt(root: Tree, path: TreePath): Place {
  let node = root;
  for (const step of path) {
    const child = childOf(node, step);
    if (child === undefined) break;
    node = child;
  }
  return node.place;
}

function indexInFile(list: Tree | undefined, index: number): number {
  if (list?.kind !== "list") return index;
  const file = list.items[index]?.place.file;
  return list.items.slice(0, index).filter((item) => item.place.file === file).length;
}
