import { askAgent } from "../control/ask-agent.ts";
import { AgentError } from "../platform/failure.ts";
import { runCommand } from "../platform/run-command.ts";

/** States in which the agent runs, or will in a moment: systemctl(1). */
const alive = new Set(["active", "activating", "deactivating", "reloading", "refreshing"]);

/**
 * Whether an agent works on this machine, by its socket and by the service manager. Who cannot be asked counts as running: nothing
 * may be removed beneath an agent that works.
 * @param systemctl where systemd's is; without one there is the socket alone.
 * @throws AgentError `control/no-permission` (operator).
 */
export async function isAgentRunning(socketPath: string, systemctl = "/usr/bin/systemctl"): Promise<boolean> {
  try {
    await askAgent(socketPath, "GET /v1/status");
    return true;
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    if (error.code === "control/no-answer") return true;
    if (error.code !== "control/not-running") throw error;
  }
  return isServiceAlive(systemctl);
}

async function isServiceAlive(systemctl: string): Promise<boolean> {
  const args = ["is-active", "latebind.service"];
  try {
    const { stdout } = await runCommand(
      { file: systemctl, args, timeoutMs: 10_000 },
      new AbortController().signal,
    );
    return alive.has(stdout.trim());
  } catch (error) {
    if (error instanceof AgentError && error.code === "platform/command-not-found") return false;
    throw error;
  }
}
