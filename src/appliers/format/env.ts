import { isJsonObject, type Json } from "../../platform/json.ts";
import type { Parsed } from "../applier.ts";

/** `NAME=value` lines, read back the same by systemd's `EnvironmentFile=` and by a shell. */
export function renderEnv(property: string, value: Json): Parsed<string> {
  if (!isJsonObject(value))
    return { status: "rejected", problems: [`${property}: an environment file needs an object`] };
  const variables = Object.entries(value);
  const problems = variables.flatMap(([name, member]) => checkVariable(property, name, member));
  if (problems.length > 0) return { status: "rejected", problems };
  return {
    status: "parsed",
    value: variables.map(([name, member]) => `${name}=${quote(asText(member))}\n`).join(""),
  };
}

/** POSIX.1-2017 8.1, without the characters that shells and systemd refuse. */
const variableName = /^[A-Za-z_][A-Za-z0-9_]*$/;
// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const unsafeControl = /[\u0000-\u0008\u000b-\u001f\u007f]/;

function checkVariable(property: string, name: string, value: Json): readonly string[] {
  const path = `${property}.${name}`;
  if (!variableName.test(name))
    return [`${path}: not a variable name (letters, digits and _, not starting with a digit)`];
  if (typeof value === "number" || typeof value === "boolean") return [];
  if (typeof value !== "string") return [`${path}: expected a string, a number or true/false`];
  return value.isWellFormed() && !unsafeControl.test(value)
    ? []
    : [`${path}: control characters other than tab and line feed are not allowed`];
}

function asText(value: Json): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/**
 * In double quotes, `"`, `\`, `$` and the back-tick are escaped, and everything else stands for itself, line feeds too.
 * @see systemd.exec(5), EnvironmentFile=
 */
function quote(text: string): string {
  if (/^[A-Za-z0-9_./:@%+,-]+$/.test(text)) return text;
  return `"${text.replaceAll(/["\\$`]/g, String.raw`\$&`)}"`;
}
