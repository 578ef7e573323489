import type { Command, Option } from "commander";
import { describeProgram, type ProgramParts } from "../../src/cli/program.ts";

/** One command as a person sees it: hidden ones are left out. */
export interface CommandNode {
  /** Without the program's own name: `["config", "check"]`; empty for the program. */
  readonly path: readonly string[];
  readonly description: string;
  readonly usage: string;
  readonly options: readonly CommandOption[];
  /** What its help says at the end. */
  readonly notes: string;
  readonly commands: readonly CommandNode[];
}

interface CommandOption {
  /** `-h, --help`, `--config <file>`. */
  readonly term: string;
  readonly names: readonly string[];
  readonly description: string;
  readonly takes: "nothing" | "file" | "words";
}

/** The program's commands, from the description that parses them. */
export function commandTree(): CommandNode {
  const nobody = new Proxy({}, { get: () => silent });
  const io = { stdout: silent, stderr: silent, readStdin: async () => "", isStdinTerminal: false, env: {} };
  const parts = { io, version: "", run: async () => 0, applyHelper: async () => 0, device: nobody };
  // oxlint-disable-next-line no-unsafe-type-assertion -- nothing is run, so nothing of the device is asked for
  return read(describeProgram(parts as unknown as ProgramParts, silent), []);
}

function silent(): void {
  // Nobody reads it.
}

/** Every command below, the program itself first. */
export function flatten(node: CommandNode): readonly CommandNode[] {
  return [node, ...node.commands.flatMap(flatten)];
}

function read(command: Command, path: readonly string[]): CommandNode {
  const help = command.createHelp();
  return {
    path,
    description: command.description(),
    usage: help.commandUsage(command),
    options: help.visibleOptions(command).map((option) => ({
      term: help.optionTerm(option),
      names: [option.short, option.long].filter((name) => name !== undefined && name !== null),
      description: help.optionDescription(option),
      takes: valueOf(option),
    })),
    notes: notesOf(command),
    commands: help.visibleCommands(command).map((child) => read(child, [...path, child.name()])),
  };
}

function valueOf({ flags }: Option): CommandOption["takes"] {
  if (!/[<[]/.test(flags)) return "nothing";
  return /file|path|folder/i.test(flags) ? "file" : "words";
}

/** Commander keeps these in listeners; printing is the only way to them. */
function notesOf(command: Command): string {
  let printed = "";
  command.configureOutput({
    writeOut: (text) => {
      printed += text;
    },
  });
  command.outputHelp();
  return printed.replace(command.helpInformation(), "").trim();
}
