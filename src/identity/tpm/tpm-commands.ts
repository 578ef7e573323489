import { AgentError } from "../../platform/failure.ts";
import { runCommand, type Command, type CommandResult } from "../../platform/run-command.ts";
import type { WorkFolder } from "../../platform/work-folder.ts";
import { factOf, readResponseCode } from "./response-code.ts";
import { hasResourceManager, unreachable } from "./tcti.ts";
import { tpmFailure } from "./tpm-failure.ts";

/** What a tool did, or the number with which the TPM refused it. */
export type ToolResult =
  | { readonly status: "done"; readonly stdout: string }
  | { readonly status: "refused"; readonly code: number };

export interface TpmPlace {
  /** As tpm2-tools take it: `device:/dev/tpmrm0`. */
  readonly tcti: string;
  /** Folder of tpm2-tools. */
  readonly toolDirectory: string;
}

/** Making a key may take a small TPM a minute; everything else is over in a few seconds. */
const timeoutMs = 120_000;
const maxOutputBytes = 64 * 1024;

/** What leaves no object in a TPM; all the others fill one of its three places when nobody manages them. */
const leavesNothing = new Set([
  "activatecredential",
  "flushcontext",
  "getcap",
  "getrandom",
  "import",
  "nvread",
  "policysecret",
  "readpublic",
  "startauthsession",
]);

/**
 * TPM commands of one piece of work, one after the other, in a folder of its own that is the tools' working directory.
 *
 * A tool that runs is never cut short, because it would leave its session behind: an abort is seen before the next one.
 */
export class TpmCommands {
  readonly folder: WorkFolder;
  readonly #place: TpmPlace;
  readonly #signal: AbortSignal;

  constructor(folder: WorkFolder, place: TpmPlace, signal: AbortSignal) {
    this.folder = folder;
    this.#place = place;
    this.#signal = signal;
  }

  /**
   * Runs `tpm2_<tool>`. Secrets go by files of the folder (`file:name`), never by an argument.
   * @returns what it wrote to standard output.
   * @throws AgentError as `attempt` and `tpmFailure`.
   */
  async run(tool: string, args: readonly string[]): Promise<string> {
    const result = await this.attempt(tool, args);
    switch (result.status) {
      case "done":
        return result.stdout;
      case "refused":
        throw await this.refusal(tool, result.code);
    }
  }

  /**
   * As `run`, with a refusal of the TPM as a result.
   * @throws AgentError `identity/tpm-tools-missing`, `identity/tpm-tool-failed` (operator), as `unreachable`, and as `runCommand`.
   */
  async attempt(tool: string, args: readonly string[]): Promise<ToolResult> {
    this.#signal.throwIfAborted();
    const result = await this.#start(tool, args);
    if (!leavesNothing.has(tool)) await this.#flushTransients();
    if (result.exitCode === 0) return { status: "done", stdout: result.stdout };
    const code = readResponseCode(result.stderr);
    if (code !== undefined) return { status: "refused", code };
    throw await this.#unanswered(tool, result);
  }

  /** Runs a tool for its effect alone, whatever comes of it: the way to clean up. */
  async tidy(tool: string, args: readonly string[]): Promise<void> {
    try {
      await this.#start(tool, args);
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
    }
  }

  async #flushTransients(): Promise<void> {
    if (!hasResourceManager(this.#place.tcti)) await this.tidy("flushcontext", ["-t"]);
  }

  /** Makes a failure of a refusal, and asks the TPM for what its number does not say. @returns as `tpmFailure`. */
  async refusal(tool: string, code: number): Promise<AgentError> {
    const fact = factOf(code);
    if (fact === "lockout") {
      const { stdout } = await this.#start("getcap", ["properties-variable"]);
      return tpmFailure(tool, code, { lockout: stdout });
    }
    if (fact === "failure") return tpmFailure(tool, code, { isDead: !(await this.#isAlive()) });
    return tpmFailure(tool, code);
  }

  /** No number: the tool has not come as far as the TPM, or stumbled over something else. */
  async #unanswered(tool: string, { lastStderrLine, exitCode }: CommandResult): Promise<AgentError> {
    if (!(await this.#isAlive())) return unreachable(this.#place.tcti, lastStderrLine);
    return new AgentError(
      "identity/tpm-tool-failed",
      "operator",
      `tpm2_${tool} ended with ${exitCode} and no code of the TPM: ${lastStderrLine}. Expected tpm2-tools 5`,
    );
  }

  async #isAlive(): Promise<boolean> {
    const { exitCode } = await this.#start("getrandom", ["--hex", "1"]);
    return exitCode === 0;
  }

  async #start(tool: string, args: readonly string[]): Promise<CommandResult> {
    const command = toolCommand(this.#place, this.folder, tool, args);
    try {
      return await runCommand({ ...command, timeoutMs, maxOutputBytes }, never);
    } catch (error) {
      throw isNotFound(error) ? toolsMissing(command.file, error) : error;
    }
  }
}

/** How a tool of tpm2-tools is started, working in this folder. */
export function toolCommand(
  { tcti, toolDirectory }: TpmPlace,
  folder: WorkFolder,
  tool: string,
  args: readonly string[],
): Pick<Command, "file" | "args" | "env" | "cwd"> {
  return {
    file: `${toolDirectory}/tpm2_${tool}`,
    args,
    // Without the log of the library below, whose words change, one line with the number is left.
    env: { TPM2TOOLS_TCTI: tcti, TSS2_LOG: "all+NONE" },
    cwd: folder.path,
  };
}

const never = new AbortController().signal;

export function isNotFound(error: unknown): boolean {
  return error instanceof AgentError && error.code === "platform/command-not-found";
}

/** `identity/tpm-tools-missing` (operator). */
export function toolsMissing(file: string, cause: unknown): AgentError {
  return new AgentError(
    "identity/tpm-tools-missing",
    "operator",
    `${file} is not there, and a TPM is used through it. Run: apt-get install tpm2-tools`,
    { cause },
  );
}
