import { AgentError } from "./failure.ts";
import { runCommand } from "./run-command.ts";

/**
 * Whether the kernel holds the wall clock for synchronised (adjtimex(2), STA_UNSYNC), as `timedatectl` tells it;
 * undefined where there is nobody to ask.
 */
export async function isClockSynchronised(signal: AbortSignal): Promise<boolean | undefined> {
  try {
    const command = {
      file: "/usr/bin/timedatectl",
      args: ["show", "-p", "NTPSynchronized", "--value"],
      timeoutMs: 5_000,
    };
    const { exitCode, stdout } = await runCommand(command, signal);
    if (exitCode !== 0) return undefined;
    return stdout.trim() === "yes";
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof AgentError) return undefined;
    throw error;
  }
}
