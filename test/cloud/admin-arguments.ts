import { readFileSync } from "node:fs";
import { InvalidArgumentError } from "commander";
import { parse as parseToml } from "smol-toml";
import { parseJson, type JsonValue } from "./json.ts";

/** JSON as it stands, `-` for standard input, `@file` for a file: JSON, or TOML where its name ends so. */
export function toJsonArgument(argument: string): JsonValue {
  const value =
    argument.startsWith("@") && argument.endsWith(".toml") ? readToml(argument.slice(1)) : readJson(argument);
  if (value === undefined) throw new InvalidArgumentError("It is not JSON.");
  return value;
}

/** A text as it stands, or `-` for standard input, or `@file`. */
export function toTextArgument(argument: string): string {
  if (argument !== "-" && !argument.startsWith("@")) return argument;
  try {
    return readFileSync(argument === "-" ? 0 : argument.slice(1), "utf8");
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}

function readJson(argument: string): JsonValue | undefined {
  return parseJson(toTextArgument(argument));
}

function readToml(path: string): JsonValue | undefined {
  const text = toTextArgument(`@${path}`);
  try {
    return parseJson(JSON.stringify(parseToml(text)));
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}
