import { rulePaths } from "./check-rules.ts";
import { quote } from "./describe-value.ts";
import { keyOf } from "./key-path.ts";
import { formatPlace } from "./merge.ts";
import type { Problem } from "./problem.ts";
import { treeAt, type Place, type Tree, type TreePath } from "./toml-tree.ts";

/**
 * What no single `[[apply]]` table can know: that another one has the same property or file, and that the file is not the
 * agent's own. Works on the tree, so that it also speaks when other keys are wrong.
 */
export function checkTargets(tree: Tree, ownDirectories: readonly string[]): readonly Problem[] {
  const paths = rulePaths(tree);
  return [
    ...repeated(textsAt(tree, paths, "property"), "property"),
    ...repeated(textsAt(tree, paths, "file"), "file"),
    ...textsAt(tree, paths, "file").flatMap(({ text, at }) => {
      const owner = ownDirectories.find((directory) => isWithin(text, directory));
      if (owner !== undefined) return [{ ...at, ...agentsOwn(text, owner) }];
      if (isWithin(text, sharedMemory)) return [];
      const kernel = kernelDirectories.find((directory) => isWithin(text, directory));
      return kernel === undefined ? [] : [{ ...at, ...kernelsOwn(text, kernel) }];
    }),
  ];
}

/** A file there is a switch of the kernel or a device: replacing it atomically is not what it takes. */
const kernelDirectories = ["/proc", "/sys", "/dev"];

/** Files like any other, in memory. */
const sharedMemory = "/dev/shm";

interface WrittenText {
  readonly text: string;
  readonly at: Place & { readonly key: string };
}

function textsAt(tree: Tree, rules: readonly TreePath[], name: string): readonly WrittenText[] {
  return rules.flatMap((rule) => {
    const path = [...rule, name];
    const node = treeAt(tree, path);
    if (node?.kind !== "value" || typeof node.value !== "string") return [];
    return [{ text: node.value, at: { ...node.place, key: keyOf(tree, path) } }];
  });
}

function repeated(texts: readonly WrittenText[], name: "property" | "file"): readonly Problem[] {
  const first = new Map<string, Place>();
  return texts.flatMap(({ text, at }) => {
    const earlier = first.get(text);
    if (earlier !== undefined) return [{ ...at, ...twiceUsed(name, text, earlier) }];
    first.set(text, at);
    return [];
  });
}

function twiceUsed(
  name: "property" | "file",
  value: string,
  earlier: Place,
): Pick<Problem, "message" | "fix"> {
  return {
    message: `expected each ${name} once, found ${quote(value)} again after ${formatPlace(earlier)}`,
    fix: "keep one of the two [[apply]] tables",
  };
}

function agentsOwn(path: string, directory: string): Pick<Problem, "message" | "fix"> {
  return {
    message: `expected a file outside the agent's own ${directory}, found ${quote(path)}`,
    fix: "choose a file in the folder of the program that reads it",
  };
}

function kernelsOwn(path: string, directory: string): Pick<Problem, "message" | "fix"> {
  return {
    message: `expected a file on a disk, found ${quote(path)}`,
    fix: `have a handler write what is in ${directory}`,
  };
}

function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}
