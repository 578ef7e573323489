import { runCommandSync } from "../../platform/run-command-sync.ts";
import type { WorkFolder } from "../../platform/work-folder.ts";
import { readResponseCode } from "./response-code.ts";
import { hasResourceManager, unreachable } from "./tcti.ts";
import { isNotFound, toolCommand, toolsMissing, type TpmPlace } from "./tpm-commands.ts";
import { tpmFailure } from "./tpm-failure.ts";

/** A signature takes a slow TPM a second or two; a server waits no longer than half a minute for it. */
const timeoutMs = 20_000;

/**
 * TPM commands while everything waits: for signatures within a TLS handshake. Other work with the TPM may be under way; the
 * resource manager, or else the simulator's line, keeps the two apart.
 */
export class BlockingTpm implements Disposable {
  readonly folder: WorkFolder;
  readonly #place: TpmPlace;

  /** @param folder is removed when this is disposed. */
  constructor(folder: WorkFolder, place: TpmPlace) {
    this.folder = folder;
    this.#place = place;
  }

  /**
   * Runs `tpm2_<tool>` in the folder.
   * @throws AgentError as `tpmFailure` and `unreachable`, `identity/tpm-tools-missing` (operator), and as `runCommandSync`.
   */
  run(tool: string, args: readonly string[]): void {
    const { exitCode, stderr, lastStderrLine } = this.#start(tool, args);
    if (exitCode === 0) return;
    const code = readResponseCode(stderr);
    throw code === undefined ? unreachable(this.#place.tcti, lastStderrLine) : tpmFailure(tool, code);
  }

  /** Takes out of the TPM what its user has loaded, where nobody else does. */
  flush(): void {
    if (!hasResourceManager(this.#place.tcti)) this.#start("flushcontext", ["-t"]);
  }

  #start(tool: string, args: readonly string[]) {
    const command = toolCommand(this.#place, this.folder, tool, args);
    try {
      return runCommandSync({ ...command, timeoutMs });
    } catch (error) {
      throw isNotFound(error) ? toolsMissing(command.file, error) : error;
    }
  }

  [Symbol.dispose](): void {
    this.folder[Symbol.dispose]();
  }
}
