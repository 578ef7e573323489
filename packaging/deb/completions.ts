import { commandTree, flatten, type CommandNode } from "./command-tree.ts";

/** Completion for bash: commands, options, and file names where an option takes one. */
export function bashCompletion(): string {
  const cases = flatten(commandTree()).map(
    (node) => `    ${bashCase(node)}) words="${words(node).join(" ")}" ;;`,
  );
  const withFile = optionsThatTake("file").join("|");
  const withWords = optionsThatTake("words").join("|");
  return `# Completion of latebind for bash.
_latebind() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" path="" words="" word
  COMPREPLY=()
  case "$previous" in
    ${withFile === "" ? "''" : withFile}) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
${withWords === "" ? "" : `    ${withWords}) return ;;\n`}  esac
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$path $word" in
${flatten(commandTree())
  .filter(({ path }) => path.length > 0)
  .map(
    ({ path }) =>
      `      "${path.length === 1 ? "" : path.slice(0, -1).join(" ")} ${path.at(-1) ?? ""}") path="${path.join(" ")}" ;;`,
  )
  .join("\n")}
    esac
  done
  case "$path" in
${cases.join("\n")}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -F _latebind latebind
`;
}

/** Completion for zsh, with the descriptions of the help. */
export function zshCompletion(): string {
  const functions = flatten(commandTree()).map(zshFunction);
  return `#compdef latebind\n# Completion of latebind for zsh.\n\n${functions.join("\n")}\n_latebind "$@"\n`;
}

function words({ commands, options }: CommandNode): readonly string[] {
  return [...commands.map(({ path }) => path.at(-1) ?? ""), ...options.flatMap(({ names }) => names)];
}

function bashCase({ path }: CommandNode): string {
  return path.length === 0 ? "''" : `"${path.join(" ")}"`;
}

function optionsThatTake(what: "file" | "words"): readonly string[] {
  const options = flatten(commandTree()).flatMap((node) => node.options);
  return [...new Set(options.filter(({ takes }) => takes === what).flatMap(({ names }) => names))];
}

function zshFunction({ path, options, commands }: CommandNode): string {
  const specs = options.flatMap(({ names, description, takes }) =>
    names.map((name) => {
      const value = takes === "nothing" ? "" : takes === "file" ? ":file:_files" : ":value: ";
      return zshQuoted(`${name}[${description.replaceAll(/[[\]:\\]/g, "\\$&")}]${value}`);
    }),
  );
  const name = ["_latebind", ...path].join("_").replaceAll("-", "_");
  if (commands.length === 0) return `${name}() {\n  _arguments ${specs.join(" ")}\n}\n`;
  const described = commands.map((command) =>
    zshQuoted(`${command.path.at(-1) ?? ""}:${command.description.replaceAll(":", "\\:")}`),
  );
  const choices = commands.map((command) => {
    const word = command.path.at(-1) ?? "";
    return `    ${word}) ${["_latebind", ...command.path].join("_").replaceAll("-", "_")} ;;`;
  });
  return `${name}() {
  local state line
  local -a commands=(${described.join(" ")})
  _arguments -C ${specs.join(" ")} '1:command:->command' '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument) case $line[1] in
${choices.join("\n")}
    esac ;;
  esac
}
`;
}

function zshQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
