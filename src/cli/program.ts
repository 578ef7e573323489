import { Command, CommanderError } from "commander";
import type { ConfigSources } from "../config/load.ts";
import { configSources, defaultConfigFile } from "../config/sources.ts";
import { configTemplate } from "../config/template.ts";
import { giveOrder, showStatus, type StatusOptions } from "./ask.ts";
import { checkConfig } from "./config-check.ts";
import { printRequest } from "./csr.ts";
import { suppositions } from "../agent/foresee.ts";
import { createKey, type CreateKeyOptions } from "./create-key.ts";
import { decommission, type DecommissionOptions } from "./decommission.ts";
import { deriveKey, type DeriveKeyOptions } from "./derive-key.ts";
import type { DeviceParts } from "./device-parts.ts";
import { dryRun } from "./dry-run.ts";
import { exitCode } from "./exit-code.ts";
import { explainJournal, type ExplainOptions } from "./explain.ts";
import { showIdentity, type IdentityOptions } from "./identity.ts";
import type { CliIo } from "./io.ts";
import { simulate, type SimulateOptions } from "./simulate.ts";

export interface ProgramParts {
  readonly io: CliIo;
  /** For `--version`. */
  readonly version: string;
  /** `latebind run`: serves until it is told to stop; the exit code comes out. */
  readonly run: (sources: ConfigSources) => Promise<number>;
  /** `latebind apply-helper`: serves until nobody asks any more; the exit code comes out. */
  readonly applyHelper: (sources: ConfigSources) => Promise<number>;
  readonly device: DeviceParts;
}

/**
 * The command line: reads the arguments, does what they ask and says how it went.
 * @param args without the program's own name: `["config", "check"]`.
 * @returns the exit code: one of `exitCode`, or what `run` returned.
 */
export async function runProgram(args: readonly string[], parts: ProgramParts): Promise<number> {
  let result: number = exitCode.ok;
  const program = describeProgram(parts, (code) => {
    result = code;
  });
  try {
    await program.parseAsync(args, { from: "user" });
    return result;
  } catch (error) {
    // Commander ends `--help` and `--version` this way too, with code 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCode.ok : exitCode.usage;
    throw error;
  }
}

/** Every command with its options and help, as the manual and the completions of the shells are made from. */
export function describeProgram(
  { io, version, run, applyHelper, device }: ProgramParts,
  finish: (code: number) => void,
): Command {
  const program = new Command("latebind")
    .description(
      "Connects this device to the Azure IoT Hub it belongs to, and makes it what its device twin says.",
    )
    .version(version, "--version", "print the version")
    .helpOption("-h, --help", "print this help; also after a command")
    .helpCommand(false)
    .addHelpText("after", notes)
    .configureOutput({ writeOut: io.stdout, writeErr: io.stderr })
    .showHelpAfterError("Run latebind --help to see the commands.")
    .exitOverride();

  program
    .command("run")
    .description("run the agent in the foreground, as the systemd service does")
    .option("--config <file>", "configuration file", defaultConfigFile)
    .action(async ({ config }: ConfigOption) => finish(await run(configSources(config, io.env))));

  program
    .command("status")
    .description(
      "say in one sentence whether this device is connected, and why it is not; asks the running agent",
    )
    .option("--json", "as JSON")
    .action(async (options: StatusOptions) => finish(await showStatus(options, io)));
  describeMemory(program, { io, clock: device.clock }, finish);
  describeLeaving(program, { io, device }, finish);
  for (const [name, description] of orders) {
    program
      .command(name)
      .description(description)
      .action(async () => finish(await giveOrder(name, io)));
  }

  program
    .command("apply")
    .description(
      "have the running agent check and apply the desired properties again; or tell what it would do",
    )
    .option("--dry-run <file>", "print what would be done for the device twin in this file, and do nothing")
    .option("--config <file>", "configuration file, for --dry-run", defaultConfigFile)
    .action(async ({ dryRun: file, config }: ConfigOption & { readonly dryRun?: string }) => {
      if (file === undefined) finish(await giveOrder("apply", io));
      else finish(await dryRun(file, configSources(config, io.env), io));
    });

  program
    .command("apply-helper")
    .description("do as root what the agent may not, as latebind-apply.socket starts it; not for people")
    .option("--config <file>", "configuration file; it must be root's alone", defaultConfigFile)
    .action(async ({ config }: ConfigOption) => finish(await applyHelper(configSources(config, io.env))));

  const config = program
    .command("config")
    .description("check or explain the configuration")
    .helpCommand(false);
  config
    .command("check")
    .description("list everything that is wrong with the configuration; changes nothing")
    .option("--config <file>", "configuration file; config.d/*.toml beside it is read too", defaultConfigFile)
    .action(async ({ config }: ConfigOption) => finish(await checkConfig(configSources(config, io.env), io)));
  config
    .command("template")
    .description("print a configuration file with every setting, its default and what it is for")
    .action(() => io.stdout(configTemplate()));

  const identity = program
    .command("identity")
    .description("print who this device is, for the person who enrols it; needs no configuration")
    .helpCommand(false)
    .option("--config <file>", "configuration file", defaultConfigFile)
    .option("--json", "as JSON")
    .option("--csv", "as CSV with a header, for lists of devices")
    .option("--az", "as the command that enrols it (Azure CLI), for another machine's shell")
    .option("--tpm", "who the TPM of this machine is, whatever key is configured")
    .addHelpText("after", identityNotes)
    .action(async ({ config, ...options }: ConfigOption & IdentityOptions) =>
      finish(await showIdentity(configSources(config, io.env), options, device, io)),
    );
  identity
    .command("csr")
    .description("print a request for this device's certificate (PKCS#10), signed by its private key")
    .addHelpText("after", csrNotes)
    .action(async () => {
      const { config } = identity.opts<ConfigOption>();
      finish(await printRequest(configSources(config, io.env), device, io));
    });
  identity
    .command("create-key")
    .description("make the private key of a certificate in the TPM, where it stays")
    .option("--handle <handle>", "persistent handle to lay it at", "0x81000201")
    .option("--rsa", "RSA of 2048 bits (default: the curve P-256)")
    .action(async (options: CreateKeyOptions) => {
      const { config } = identity.opts<ConfigOption>();
      finish(await createKey(configSources(config, io.env), options, device, io));
    });

  program
    .command("derive-key")
    .description("make the key of one device from the key of its enrollment group, at the factory")
    .requiredOption("--registration-id <id>", "registration ID of the device, spelled as the device will")
    .option("--group-key-file <file>", "file with the group key, mode 0600 or 0400 (default: standard input)")
    .addHelpText("after", deriveKeyNotes)
    .action(async (options: DeriveKeyOptions) => finish(await deriveKey(options, io)));

  return program;
}

/** What the agent's memory in the state directory tells, with or without a running agent. */
function describeMemory(
  program: Command,
  { io, clock }: { readonly io: CliIo; readonly clock: DeviceParts["clock"] },
  finish: (code: number) => void,
): void {
  program
    .command("explain")
    .description("tell what the agent met and decided, from its journal; needs no running agent")
    .option("--last <count>", "only so many entries, the newest")
    .option("--json", "as JSON")
    .action((options: ExplainOptions) => {
      const { stateDirectory } = configSources(defaultConfigFile, io.env);
      finish(explainJournal(stateDirectory, options, clock, io));
    });
  program
    .command("simulate")
    .description("say what the agent would do if something happened now; touches no network, changes nothing")
    .requiredOption("--event <event>", `one of ${Object.keys(suppositions).join(", ")}`)
    .option("--times <count>", "how often it happens in a row", "1")
    .option("--config <file>", "configuration file", defaultConfigFile)
    .option("--json", "as JSON")
    .action(async ({ config, ...options }: ConfigOption & SimulateOptions) =>
      finish(await simulate(configSources(config, io.env), options, clock, io)),
    );
}

function describeLeaving(
  program: Command,
  { io, device }: Pick<ProgramParts, "io" | "device">,
  finish: (code: number) => void,
): void {
  program
    .command("decommission")
    .description("take this device out of service: list what latebind made here, or remove it for good")
    .option("--yes", "remove it, and print a receipt")
    .option("--config <file>", "configuration file", defaultConfigFile)
    .option("--json", "as JSON")
    .action(async ({ config, ...options }: ConfigOption & DecommissionOptions) =>
      finish(await decommission(configSources(config, io.env), options, device, io)),
    );
}

const orders = [
  ["reprovision", "have the running agent ask DPS now; the present hub stays the fallback"],
  ["restart", "have the running agent end in order and be started anew"],
] as const;

interface ConfigOption {
  readonly config: string;
}

const notes = `
First steps:
  1. Write the ID scope of your Device Provisioning Service into
     ${defaultConfigFile}:
       id_scope = "0ne00XXXXXX"
  2. Put the device key (base64) into /etc/latebind/device.key with mode 0600.
  3. latebind config check
  4. systemctl enable --now latebind

Exit codes: 0 done, 1 failed, 2 wrong command line, 78 wrong configuration.`;

const deriveKeyNotes = `
The group key never goes on the command line, where every user could see it.
The device key is printed on standard output:
  umask 077
  latebind derive-key --registration-id gw-0042 < group.key > device.key`;

const identityNotes = `
Nothing is sent and no key is printed. Without a configuration and a key file
it looks for a TPM, which root and members of the group tss may use.`;

const csrNotes = `
The key is the one of the configuration, in a file or in a token, and stays
there. The common name is the registration ID. For one device at the factory:
  latebind identity csr > device.csr`;
