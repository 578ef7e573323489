import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startSimulatorBridge, type SimulatedTpm } from "./simulator-bridge.ts";

/** A blank software TPM for Azure's client. */
export async function startSwtpm(): Promise<SimulatedTpm> {
  await using parts = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "latebind-swtpm-"));
  parts.defer(async () => rm(folder, { recursive: true }));
  const path = join(folder, "socket");
  const address = ["--server", `type=unixio,path=${path}`, "--ctrl", `type=unixio,path=${path}.ctrl`];
  const state = ["--tpmstate", `dir=${folder}`, "--flags", "not-need-init,startup-clear"];
  const swtpm = spawn("swtpm", ["socket", "--tpm2", ...address, ...state], { stdio: "ignore" });
  const exited = once(swtpm, "exit");
  parts.defer(async () => {
    swtpm.kill();
    await exited;
  });
  const { port } = parts.use(await startSimulatorBridge(path));
  const running = parts.move();
  return { port, [Symbol.asyncDispose]: async () => running.disposeAsync() };
}
