import { AgentError } from "../../platform/failure.ts";
import { abandonedWorkFolders, WorkFolder } from "../../platform/work-folder.ts";
import type { FileLocation } from "../read-key-file.ts";
import { BlockingTpm } from "./blocking-tpm.ts";
import { MadeKeys } from "./made-keys.ts";
import { hasResourceManager } from "./tcti.ts";
import { TpmCommands, type TpmPlace } from "./tpm-commands.ts";

/** How to reach a TPM, and what may be known of it. */
export interface TpmSettings {
  /** As tpm2-tools take it: `device:/dev/tpmrm0`, `swtpm:path=/run/swtpm`, `tabrmd:`. */
  readonly tcti: string;
  readonly ekTemplate: "tcg" | "azure-sdk";
  /** Persistent handles of the two keys: `0x81010001`. */
  readonly ekHandle: string;
  readonly srkHandle: string;
  /** Files with the authorization values of the two hierarchies; absent where they are empty, as they are at first. */
  readonly ownerAuth?: readonly FileLocation[];
  readonly endorsementAuth?: readonly FileLocation[];
}

export interface TpmSurroundings {
  /** On a memory file system: `memoryDirectory`. */
  readonly workDirectory: string;
  /** Where tpm2-tools are; /usr/bin where absent. */
  readonly toolDirectory?: string;
  /** Where the keys that are made persistent are written down as ours; nowhere where absent. */
  readonly stateDirectory?: string;
}

const folderPrefix = "latebind-tpm-";
/** The one kind of file that outlives its tool inside the TPM. */
export const sessionFile = "session.ctx";

/**
 * One TPM, used through tpm2-tools by one piece of work at a time: a simulator takes a single client, and small TPMs have room for
 * three keys. Holds nothing open between two pieces.
 */
export class Tpm {
  readonly settings: TpmSettings;
  readonly madeKeys: MadeKeys | undefined;
  readonly #workDirectory: string;
  readonly #toolDirectory: string;
  #last: Promise<unknown> = Promise.resolve();
  #isSwept = false;

  constructor(settings: TpmSettings, { workDirectory, toolDirectory, stateDirectory }: TpmSurroundings) {
    this.settings = settings;
    this.madeKeys = stateDirectory === undefined ? undefined : new MadeKeys(stateDirectory);
    this.#workDirectory = workDirectory;
    this.#toolDirectory = toolDirectory ?? "/usr/bin";
  }

  /**
   * Does a piece of work when those before it are done. Its folder and session are gone when it ends, however it ends.
   *
   * Where the TPM has no session or no room left, abandoned ones are flushed and the work is done once more from its start.
   * @throws AgentError as `TpmCommands`, and as the work; the signal's reason.
   */
  async use<T>(work: (commands: TpmCommands) => Promise<T>, signal: AbortSignal): Promise<T> {
    const mine = this.#last.then(async () => {
      signal.throwIfAborted();
      return this.#useNow(work, signal);
    });
    this.#last = mine.catch(() => undefined);
    return mine;
  }

  async #useNow<T>(work: (commands: TpmCommands) => Promise<T>, signal: AbortSignal): Promise<T> {
    await this.#sweep(signal);
    try {
      return await this.#inFolder(work, signal);
    } catch (error) {
      if (!(error instanceof AgentError) || !mayBeFlushed.has(error.code)) throw error;
      await this.#inFolder(flushAll, signal);
      return this.#inFolder(work, signal);
    }
  }

  async #inFolder<T>(work: (commands: TpmCommands) => Promise<T>, signal: AbortSignal): Promise<T> {
    using folder = await WorkFolder.make(this.#workDirectory, folderPrefix);
    const commands = this.#commands(folder, signal);
    try {
      return await work(commands);
    } finally {
      await flushSession(commands);
    }
  }

  /** A killed process leaves its folder behind, and its session in the TPM: the file there is all that can end it. */
  async #sweep(signal: AbortSignal): Promise<void> {
    if (this.#isSwept) return;
    this.#isSwept = true;
    const abandoned = abandonedWorkFolders(this.#workDirectory, folderPrefix);
    if (abandoned.length === 0) return;
    for (const left of abandoned) {
      using folder = left;
      await flushSession(this.#commands(folder, signal));
    }
    // A tool that died with its process may have left more, and nobody takes it away.
    if (!hasResourceManager(this.settings.tcti)) await this.#inFolder(flushAll, signal);
  }

  /** For signatures that nothing may come before: beside the pieces of work, in a folder that lasts until it is disposed. */
  async blocking(): Promise<BlockingTpm> {
    const folder = await WorkFolder.make(this.#workDirectory, folderPrefix);
    return new BlockingTpm(folder, this.#place());
  }

  #commands(folder: WorkFolder, signal: AbortSignal): TpmCommands {
    return new TpmCommands(folder, this.#place(), signal);
  }

  #place(): TpmPlace {
    return { tcti: this.settings.tcti, toolDirectory: this.#toolDirectory };
  }
}

const mayBeFlushed = new Set(["identity/tpm-out-of-sessions", "identity/tpm-out-of-memory"]);

async function flushSession(commands: TpmCommands): Promise<void> {
  if (commands.folder.has(sessionFile)) await commands.tidy("flushcontext", [sessionFile]);
}

async function flushAll(commands: TpmCommands): Promise<void> {
  for (const kind of ["--saved-session", "--loaded-session", "--transient-object"])
    await commands.tidy("flushcontext", [kind]);
}
