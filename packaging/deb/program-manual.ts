import { commandTree, flatten, type CommandNode } from "./command-tree.ts";
import { entry, heading, literal, manPage, paragraph, plain, subheading } from "./roff.ts";

/** latebind(1), from the descriptions that the program prints as its help. */
export function programManual(date: number): string {
  const program = commandTree();
  const commands = flatten(program).filter((command) => command.commands.length === 0 || hasAction(command));
  return manPage("LATEBIND", 1, "User commands", date, [
    heading("Name"),
    "latebind \\- edge agent for Azure IoT: DPS, IoT Hub, device twin\n",
    heading("Synopsis"),
    `.B latebind\n.I command\n.RI [ options ]\n`,
    heading("Description"),
    paragraph(program.description),
    heading("Options"),
    ...program.options.map(option),
    heading("Commands"),
    ...commands.filter(({ path }) => path.length > 0).flatMap(describe),
    heading("Notes"),
    literal(program.notes),
    heading("Signals"),
    paragraph(
      "SIGTERM ends latebind run within 5 s. SIGHUP (systemctl reload latebind) loads the configuration anew; a bad one is told and the old one stays in force.",
    ),
    heading("Files"),
    ...files.map(([file, meaning]) => entry(file, plain(meaning))),
    heading("See also"),
    ".BR latebind.toml (5),\n.BR systemctl (1),\n.BR systemd.exec (5)\n",
  ]);
}

const files = [
  ["/etc/latebind/config.toml", "the configuration: a template with every setting"],
  [
    "/etc/latebind/config.d/*.toml",
    "your own settings; they win over config.toml, and upgrades never ask about them",
  ],
  ["/var/lib/latebind", "what the agent remembers: its assignment, the last desired state, what is in force"],
  ["/usr/share/doc/latebind", "licences, changes, the list of parts (CycloneDX), examples of drop-ins"],
] as const;

function describe({ path, description, usage, options, notes }: CommandNode): readonly string[] {
  return [
    subheading(`latebind ${path.join(" ")}`),
    paragraph(`${description[0]?.toUpperCase() ?? ""}${description.slice(1)}.`),
    literal(usage),
    ...options.map(option),
    ...(notes === "" ? [] : [literal(notes)]),
  ];
}

function option({ term, description }: CommandNode["options"][number]): string {
  return entry(term, plain(description));
}

/** `identity` does something of its own and has commands below it; `config` only has commands. */
function hasAction({ options }: CommandNode): boolean {
  return options.some(({ names }) => !names.includes("--help") && !names.includes("--version"));
}
