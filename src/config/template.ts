import type { GenericSchema } from "valibot";
import { defaultOf, docOf, shapeOf } from "./key-doc.ts";
import { configSchema } from "./schema.ts";

/** Serial consoles have 80 columns. */
const columns = 80;

const introduction = `latebind configuration, read from /etc/latebind/config.toml and then from
/etc/latebind/config.d/*.toml in the order of their names: later files win,
[[apply]] tables add up. Check a change with: latebind config check

Only id_scope has to be set. To change another setting, delete the # in front
of it; one with ## takes the place of a setting above it. Durations are whole
numbers with units d, h, m and s: "90s", "1h30m".`;

/**
 * The commented configuration file that documents every setting: what it is for, what is expected, its default. It is made
 * from the schema and is itself a legal configuration.
 */
export function configTemplate(): string {
  const top = Object.entries(shapeOf(configSchema).entries ?? {});
  const keys = top.filter(([, schema]) => isKey(schema));
  const tables = top.filter(([, schema]) => !isKey(schema));
  const blocks = [
    comment(introduction),
    ...keys.map(([name, schema]) => keyBlock(name, schema)),
    ...tables.flatMap(([name, schema]) => tableBlocks(name, schema)),
  ];
  return `${blocks.join("\n\n")}\n`;
}

/** Headers of plain tables are in force, so that a setting which loses its `#` is in the right table. */
function tableBlocks(name: string, schema: GenericSchema): readonly string[] {
  const { entries, item } = shapeOf(schema);
  const header = item === undefined ? `[${name}]` : `#[[${name}]]`;
  const keys = Object.entries(entries ?? (item === undefined ? {} : shapeOf(item).entries) ?? {});
  return [
    `${comment(wrap(docOf(schema).help))}\n${header}`,
    ...keys.map(([key, child]) => keyBlock(key, child)),
  ];
}

function keyBlock(name: string, schema: GenericSchema): string {
  const { help, expected, example, alternative } = docOf(schema);
  const standard = defaultOf(schema);
  const kind =
    schema.type === "exact_optional"
      ? standard === undefined
        ? "optional"
        : "shown: the default"
      : "mandatory";
  const words = `${wrap(help)}\n${wrap(`Value (${kind}): ${expected}.`)}`;
  // The one line that makes a configuration is in force; everything else waits for its `#` to go.
  const mark = name === "id_scope" ? "" : alternative === undefined ? "#" : "##";
  return `${comment(words)}\n${mark}${name} = ${standard ?? example ?? alternative}`;
}

function isKey(schema: GenericSchema): boolean {
  const { entries, item } = shapeOf(schema);
  return entries === undefined && item === undefined;
}

function comment(text: string): string {
  return text
    .split("\n")
    .map((line) => `# ${line}`.trimEnd())
    .join("\n");
}

function wrap(text: string): string {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1) ?? ""} ${word}`;
    if (lines.length > 0 && longer.length + "# ".length <= columns) lines.splice(-1, 1, longer);
    else lines.push(word);
  }
  return lines.join("\n");
}
