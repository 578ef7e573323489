import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parse as parseToml, TomlError } from "smol-toml";
import { parseDescription, type CloudDescription } from "./description-spec.ts";
import { isJsonObject, parseJson, type JsonValue } from "./json.ts";

/**
 * Reads a description from a file that ends in `.toml` or `.json`. Wherever it wants a text, `{ file = "ca.pem" }` stands for
 * what is in that file, seen from the description's folder; not so inside `initialTwin` and `payload`, which are the device's.
 * @throws Error that names the file, with every problem on a line of its own.
 */
export function readDescriptionFile(path: string, hubsBeside: readonly string[] = []): CloudDescription {
  try {
    const text = readFileSync(path, "utf8");
    const problems: string[] = [];
    const input = insertFiles(parseText(path, text), dirname(path), "", problems);
    if (problems.length > 0) throw new Error(problems.join("\n"));
    return parseDescription(input, hubsBeside);
  } catch (error) {
    const problems = error instanceof Error ? error.message : String(error);
    throw new Error(`${path} cannot be used:\n${problems.trim().replaceAll(/^/gm, "  ")}`, { cause: error });
  }
}

function parseText(path: string, text: string): JsonValue {
  if (path.endsWith(".json")) return toJson(JSON.parse(text));
  if (!path.endsWith(".toml")) throw new Error("its name ends neither in .toml nor in .json");
  try {
    return toJson(parseToml(text));
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    throw new Error(`line ${error.line}, column ${error.column}: ${error.message}`, { cause: error });
  }
}

/** TOML knows dates; a twin does not. */
function toJson(value: unknown): JsonValue {
  return parseJson(JSON.stringify(value)) ?? {};
}

function insertFiles(value: JsonValue, folder: string, path: string, problems: string[]): JsonValue {
  if (Array.isArray(value)) {
    return value.map((item: JsonValue, index) => insertFiles(item, folder, `${path}.${index}`, problems));
  }
  if (!isJsonObject(value)) return value;
  if (Object.keys(value).length === 1 && typeof value["file"] === "string") {
    try {
      return readFileSync(resolve(folder, value["file"]), "utf8").trim();
    } catch (error) {
      problems.push(`${path.slice(1)}: ${error instanceof Error ? error.message : String(error)}`);
      return "";
    }
  }
  const inserted = Object.entries(value).map(([key, item]): [string, JsonValue] => {
    const isTheDevices = key === "initialTwin" || key === "payload";
    return [key, isTheDevices ? item : insertFiles(item, folder, `${path}.${key}`, problems)];
  });
  return Object.fromEntries(inserted);
}
