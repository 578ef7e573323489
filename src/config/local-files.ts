import { readBoundedFile } from "../platform/bounded-file.ts";
import { isJson, parseJson } from "../platform/json.ts";
import { rulePaths } from "./check-rules.ts";
import type { LocalFile } from "./config.ts";
import { keyOf } from "./key-path.ts";
import type { Problem } from "./problem.ts";
import { treeAt, type Tree } from "./toml-tree.ts";

/** A template of a megabyte is a mistake; it would be held in memory. */
const maxBytes = 1024 * 1024;

/** By setting, what its file must be; completes "expected …". */
const checks: Readonly<Record<string, (text: string) => Promise<string | undefined>>> = {
  template: checkTemplate,
  schema: checkSchema,
};

/**
 * Reads the files that `[[apply]]` tables name beside their targets, and checks that they can be used, so that a mistake in one
 * is found with those of the configuration and not by the first value.
 * @returns the files by path, and a problem for each that cannot be used.
 */
export async function readLocalFiles(
  tree: Tree,
): Promise<{ readonly files: ReadonlyMap<string, LocalFile>; readonly problems: readonly Problem[] }> {
  const files = new Map<string, LocalFile>();
  const problems: Problem[] = [];
  for (const rule of rulePaths(tree)) {
    for (const [setting, check] of Object.entries(checks)) {
      const node = treeAt(tree, [...rule, setting]);
      if (node?.kind !== "value" || typeof node.value !== "string") continue;
      const path = node.value;
      const read = readText(path);
      const fault = "fault" in read ? read.fault : await check(read.text);
      if ("text" in read) files.set(path, { path, text: read.text });
      if (fault === undefined) continue;
      const key = keyOf(tree, [...rule, setting]);
      problems.push({
        ...node.place,
        key,
        message: `${path}: ${fault}`,
        fix: `mend ${path}, or name another`,
      });
    }
  }
  return { files, problems };
}

function readText(path: string): { readonly text: string } | { readonly fault: string } {
  const read = readBoundedFile(path, maxBytes);
  switch (read.status) {
    case "read":
      return { text: read.content.toString("utf8") };
    case "missing":
      return { fault: "expected a file, found nothing there" };
    case "not-a-file":
      return { fault: "expected a regular file, found something else" };
    case "too-large":
      return { fault: "expected at most 1 MiB, found more" };
    case "unreadable":
      return { fault: `expected a file that the agent may read (${read.systemCode})` };
  }
}

async function checkTemplate(text: string): Promise<string | undefined> {
  const { default: mustache } = await import("mustache");
  try {
    mustache.parse(text);
    return undefined;
  } catch (error) {
    return `expected a mustache template, found a fault in it: ${error instanceof Error ? error.message : ""}`;
  }
}

async function checkSchema(text: string): Promise<string | undefined> {
  const schema = parseJson(Buffer.from(text));
  if (!isJson(schema)) return "expected a JSON Schema, found no JSON";
  const { findSchemaFault } = await import("../platform/schema-fault.ts");
  const fault = findSchemaFault(schema);
  return fault === undefined ? undefined : `expected a JSON Schema, found a fault in it: ${fault}`;
}
