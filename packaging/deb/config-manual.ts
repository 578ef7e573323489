import { configSchema } from "../../src/config/schema.ts";
import { defaultOf, docOf, shapeOf } from "../../src/config/key-doc.ts";
import { entry, heading, literal, manPage, paragraph, plain } from "./roff.ts";

type Schema = Parameters<typeof docOf>[0];

/** latebind.toml(5), from the schema that parses the configuration. */
export function configManual(date: number): string {
  const top = Object.entries(shapeOf(configSchema).entries ?? {});
  return manPage("LATEBIND.TOML", 5, "File formats", date, [
    heading("Name"),
    "latebind.toml \\- configuration of latebind\n",
    heading("Synopsis"),
    paragraph("/etc/latebind/config.toml"),
    paragraph("/etc/latebind/config.d/*.toml"),
    heading("Description"),
    paragraph(introduction),
    literal('id_scope = "0ne00XXXXXX"'),
    heading("Keys before any table"),
    ...top.filter(isKey).map(key),
    ...top.filter((each) => !isKey(each)).flatMap(([name, schema]) => table(name, schema)),
    heading("See also"),
    ".BR latebind (1)\n",
  ]);
}

const introduction =
  "TOML. The main file is read first and then the files of config.d in the order of their names: later files win, [[apply]] tables add up. " +
  "Only id_scope has to be set. Durations are whole numbers with the units d, h, m and s, such as 1h30m. " +
  "Check a change with latebind config check; systemctl reload latebind puts it in force.";

function table(name: string, schema: Schema): readonly string[] {
  const { entries, item } = shapeOf(schema);
  const inner = entries ?? (item === undefined ? {} : shapeOf(item).entries) ?? {};
  return [
    heading(item === undefined ? `[${name}]` : `[[${name}]]`),
    paragraph(docOf(schema).help),
    ...Object.entries(inner).map(key),
  ];
}

function isKey([, schema]: readonly [string, Schema]): boolean {
  const { entries, item } = shapeOf(schema);
  return entries === undefined && item === undefined;
}

function key([name, schema]: readonly [string, Schema]): string {
  const { help, expected, example } = docOf(schema);
  const standard = defaultOf(schema);
  const isMandatory = schema.type !== "exact_optional";
  const facts = [
    ...(expected === undefined ? [] : [`Value: ${expected}.`]),
    ...(isMandatory ? ["Mandatory."] : []),
    ...(standard === undefined ? [] : [`Default: ${standard}.`]),
    ...(standard === undefined && example !== undefined ? [`Example: ${example}`] : []),
  ];
  return entry(name, plain(help), ".br", plain(facts.join(" ")));
}
