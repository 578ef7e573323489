import { isJsonObject, type Json, type JsonObject } from "../platform/json.ts";

export type FileFormat = "json" | "toml" | "env";

/** All reasons why the value cannot be written in this format, each with its path; none where it can. */
export function checkFormat(format: FileFormat, property: string, value: Json): readonly string[] {
  switch (format) {
    case "json":
      return [];
    case "toml":
      return isJsonObject(value) ? checkToml(property, value) : [`${property}: TOML needs an object`];
    case "env":
      return isJsonObject(value)
        ? Object.entries(value).flatMap(([name, member]) => checkVariable(property, name, member))
        : [`${property}: an environment file needs an object`];
  }
}

/** The file's text. The value must have passed `checkFormat`. */
export async function renderFormat(format: FileFormat, value: Json): Promise<string> {
  switch (format) {
    case "json":
      return `${JSON.stringify(value, undefined, 2)}\n`;
    case "toml": {
      // Loaded at the first TOML file: most agents never need it.
      const { stringify } = await import("smol-toml");
      return stringify(value);
    }
    case "env":
      return Object.entries(asObject(value))
        .map(([name, member]) => `${name}=${quote(asText(member))}\n`)
        .join("");
  }
}

function asText(value: Json): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function asObject(value: Json): JsonObject {
  return isJsonObject(value) ? value : {};
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

/**
 * Read back the same by systemd's `EnvironmentFile=` and by a shell: in double quotes, `"`, `\`, `$` and the back-tick are escaped, and
 * everything else stands for itself, line feeds too.
 * @see systemd.exec(5), EnvironmentFile=
 */
function quote(text: string): string {
  if (/^[A-Za-z0-9_./:@%+,-]+$/.test(text)) return text;
  return `"${text.replaceAll(/["\\$`]/g, String.raw`\$&`)}"`;
}
