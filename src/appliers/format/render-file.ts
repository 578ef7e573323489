import type { FileRule } from "../../config/config.ts";
import { isJsonObject, type Json } from "../../platform/json.ts";
import type { Parsed } from "../applier.ts";
import { renderEnv } from "./env.ts";
import { renderIni } from "./ini.ts";

/** Which format, and the text of the template where it is one. */
export type FormatRule = Pick<FileRule, "format" | "template">;

/**
 * The text of the file that a value becomes, or all reasons why the value cannot be written in this format, each with its path.
 *
 * What a format would have to bend (a null in TOML, a line feed in INI) is refused: the program that reads the file must find what
 * the twin says. Libraries are loaded by the first file that needs them: most agents never do.
 */
export async function renderFile(
  { format, template }: FormatRule,
  property: string,
  value: Json,
): Promise<Parsed<string>> {
  switch (format) {
    case "json":
      return { status: "parsed", value: `${JSON.stringify(value, undefined, 2)}\n` };
    case "text":
      return renderText(property, value);
    case "env":
      return renderEnv(property, value);
    case "ini":
      return renderIni(property, value);
    case "toml":
      return renderToml(property, value);
    case "yaml":
      return renderYaml(property, value);
    case "template": {
      const { renderTemplate } = await import("./template.ts");
      return renderTemplate(template?.text ?? "", property, value);
    }
  }
}

function renderText(property: string, value: Json): Parsed<string> {
  if (typeof value !== "string") return rejected(`${property}: expected a text`);
  return value.isWellFormed() && !value.includes("\0")
    ? { status: "parsed", value }
    : rejected(`${property}: not valid Unicode, or a NUL character in it`);
}

async function renderToml(property: string, value: Json): Promise<Parsed<string>> {
  const problems = isJsonObject(value) ? checkToml(property, value) : [`${property}: TOML needs an object`];
  if (problems.length > 0) return rejected(...problems);
  const { stringify } = await import("smol-toml");
  return { status: "parsed", value: stringify(value) };
}

/** TOML 1.0 has no null, and no way to write half a surrogate pair in a key. */
function checkToml(path: string, value: Json): readonly string[] {
  if (value === null) return [`${path}: TOML has no null`];
  if (typeof value !== "object") return [];
  if (!isJsonObject(value)) return value.flatMap((item, index) => checkToml(`${path}[${index}]`, item));
  return Object.entries(value).flatMap(([key, member]) =>
    key.isWellFormed() ? checkToml(`${path}.${key}`, member) : [`${path}: a key is not valid Unicode`],
  );
}

/** Quoted so that readers of YAML 1.1 see the same: to them a bare `no` is false, and `12:30` a number. */
async function renderYaml(property: string, value: Json): Promise<Parsed<string>> {
  if (hasLoneSurrogate(value)) return rejected(`${property}: a text in it is not valid Unicode`);
  const { stringify } = await import("yaml");
  const options = { compat: "yaml-1.1", lineWidth: 0, aliasDuplicateObjects: false } as const;
  return { status: "parsed", value: stringify(value, options) };
}

function hasLoneSurrogate(value: Json): boolean {
  if (typeof value === "string") return !value.isWellFormed();
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(value).some(([key, member]) => !key.isWellFormed() || hasLoneSurrogate(member));
}

function rejected(...problems: readonly string[]): Parsed<string> {
  return { status: "rejected", problems };
}
