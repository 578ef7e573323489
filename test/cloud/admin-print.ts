import { isJsonObject, type JsonValue } from "./json.ts";

/** One line for each item of a list, with the named fields in columns. */
export function printList(list: JsonValue | undefined, fields: readonly string[]): void {
  const items = Array.isArray(list) ? list : [];
  const rows = items.map((item: JsonValue) => fields.map((field) => toCell(item, field)));
  const widths = fields.map((_, column) => Math.max(0, ...rows.map((row) => row[column]?.length ?? 0)));
  for (const row of rows) {
    print(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    );
  }
}

/** Nothing for nothing. */
export function printJson(value: JsonValue | undefined): void {
  if (value !== undefined) print(JSON.stringify(value, undefined, 2));
}

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** `attestation.type` looks into an object; `isUp` says `up` or `not up`. */
function toCell(item: JsonValue, field: string): string {
  let value: JsonValue | undefined = item;
  for (const key of field.split(".")) value = isJsonObject(value) ? value[key] : undefined;
  if (value === undefined) return "-";
  const claim = field.replace(/^is/, "").toLowerCase();
  if (value === true) return claim;
  if (value === false) return `not ${claim}`;
  return typeof value === "string" ? value : JSON.stringify(value);
}
