import { chownSync, lstatSync, unlinkSync } from "node:fs";
import { connect, type Server } from "node:net";
import { findAccount } from "../platform/accounts.ts";
import { AgentError, systemCode } from "../platform/failure.ts";

/** The group whose members may talk to the agent. */
export const controlGroup = "latebind";

/**
 * Makes a server listen on a socket file of mode 0660. A file that a killed agent left behind is replaced; one that somebody still
 * listens on is not.
 * @throws AgentError `control/socket-in-use` (operator), `control/socket-failed` (operator).
 */
export async function listenOnFile(server: Server, path: string): Promise<void> {
  await removeStale(path);
  const listening = Promise.withResolvers<undefined>();
  server.once("listening", () => {
    listening.resolve(undefined);
  });
  server.once("error", listening.reject);
  // The file is made at once, and there must be no moment in which others may connect.
  const before = process.umask(0o117);
  try {
    server.listen(path);
  } finally {
    process.umask(before);
  }
  try {
    await listening.promise;
    await handToGroup(path);
  } catch (error) {
    server.close();
    throw failed(path, error);
  }
}

/** As root the file would belong to root's group. The service has the right group already. */
async function handToGroup(path: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const gid = await findAccount("group", controlGroup);
  if (gid !== undefined) chownSync(path, 0, gid);
}

async function removeStale(path: string): Promise<void> {
  try {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return;
    if (!stat.isSocket()) throw new Error("there is a file of another kind in its place");
    if (await isServed(path)) {
      const message = `another agent listens on ${path}: stop it first`;
      throw new AgentError("control/socket-in-use", "operator", message);
    }
    unlinkSync(path);
  } catch (error) {
    throw error instanceof AgentError ? error : failed(path, error);
  }
}

async function isServed(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(path);
  socket.once("connect", () => {
    resolve(true);
  });
  socket.once("error", (error) => {
    resolve(systemCode(error) !== "ECONNREFUSED");
  });
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}

function failed(path: string, cause: unknown): AgentError {
  const why = systemCode(cause) === "" && cause instanceof Error ? cause.message : systemCode(cause);
  const message = `local programs cannot reach the agent: ${path} cannot be made (${why})`;
  return new AgentError("control/socket-failed", "operator", message, { cause });
}
