import { isJsonObject, type Json, type JsonObject } from "../../platform/json.ts";
import type { Parsed } from "../applier.ts";

type Scalar = string | number | boolean;

/**
 * `key=value` lines under `[section]` headers, scalars of the top first; a list becomes the key once for each item, as systemd has it.
 *
 * Readers of INI do not agree on quotes, escapes and comments. So nothing is quoted, and what would need it (line feeds, spaces at
 * the ends, a key that looks like a comment or a header) is refused.
 */
export function renderIni(property: string, value: Json): Parsed<string> {
  if (!isJsonObject(value))
    return { status: "rejected", problems: [`${property}: an INI file needs an object`] };
  const entries = Object.entries(value);
  const sections = entries.flatMap(([name, member]): [string, JsonObject][] =>
    isJsonObject(member) ? [[name, member]] : [],
  );
  const top = Object.fromEntries(entries.filter(([, member]) => !isJsonObject(member)));
  const problems = [
    ...checkKeys(property, top),
    ...sections.flatMap(([name, section]) => [
      ...(isSectionName(name) ? [] : [`${property}: a section cannot be called ${JSON.stringify(name)}`]),
      ...checkKeys(`${property}.${name}`, section),
    ]),
  ];
  if (problems.length > 0) return { status: "rejected", problems };
  const blocks = [lines(top), ...sections.map(([name, section]) => `[${name}]\n${lines(section)}`)];
  return { status: "parsed", value: blocks.filter((block) => block !== "").join("\n") };
}

function lines(section: JsonObject): string {
  return Object.entries(section)
    .flatMap(([key, value]) =>
      itemsOf(value).map((item) => `${key}=${typeof item === "string" ? item : JSON.stringify(item)}\n`),
    )
    .join("");
}

function checkKeys(path: string, section: JsonObject): readonly string[] {
  return Object.entries(section).flatMap(([key, value]) => {
    if (!isKey(key)) return [`${path}: a key cannot be called ${JSON.stringify(key)}`];
    return itemsOf(value).every(isPlain)
      ? []
      : [`${path}.${key}: expected a number, true/false or a text of one line without spaces at its ends`];
  });
}

function itemsOf(value: Json): readonly Json[] {
  return Array.isArray(value) ? value : [value];
}

// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const control = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;

function isPlain(value: Json): value is Scalar {
  if (typeof value === "number" || typeof value === "boolean") return true;
  if (typeof value !== "string") return false;
  // A backslash at the end continues the line (systemd.syntax(7)).
  return value.isWellFormed() && !control.test(value) && value.trim() === value && !value.endsWith("\\");
}

function isKey(key: string): boolean {
  return /^[^\s#;[\]=:"'\\][^=:\\]*$/.test(key) && isPlain(key);
}

function isSectionName(name: string): boolean {
  return name !== "" && isPlain(name) && !/[[\]]/.test(name);
}
