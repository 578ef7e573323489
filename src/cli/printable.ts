/**
 * A line that a person may print whoever wrote it: control characters, by which a terminal could be steered, become visible as
 * `\u001b`. The daemon and its journal are not trusted by whoever runs a command as root.
 */
export function printable(line: string): string {
  return line.replaceAll(/\p{Cc}/gu, escape);
}

/** JSON in lines. `JSON.stringify` leaves DEL and the C1 characters as they are; in a string the escape says the same. */
export function printableJson(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2).replaceAll(/[^\P{Cc}\n]/gu, escape)}\n`;
}

function escape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
