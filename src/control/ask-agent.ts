import { request, type IncomingMessage } from "node:http";
import { AgentError, systemCode } from "../platform/failure.ts";
import { parseJson } from "../platform/json.ts";
import { currentUser } from "../platform/user.ts";
import { controlGroup } from "./socket-file.ts";

export interface AgentReply {
  readonly status: number;
  /** Parsed JSON. */
  readonly body: unknown;
}

const answerTimeoutMs = 10_000;
const maxAnswerBytes = 1024 * 1024;

/**
 * Asks the agent that runs on this machine, through its socket.
 * @param target `GET /v1/status`
 * @throws AgentError `control/not-running` (operator), `control/no-permission` (operator), `control/no-answer` (retry).
 */
export async function askAgent(socketPath: string, target: string): Promise<AgentReply> {
  const [method = "", path = ""] = target.split(" ");
  const answered = Promise.withResolvers<AgentReply>();
  const sent = request({ socketPath, method, path, timeout: answerTimeoutMs, agent: false });
  sent.once("timeout", () => sent.destroy(noAnswer(socketPath)));
  sent.once("error", (error) => {
    answered.reject(explain(error, socketPath));
  });
  sent.once("response", (response) => {
    read(response, answered.resolve, answered.reject, socketPath);
  });
  sent.end();
  return answered.promise;
}

function read(
  response: IncomingMessage,
  resolve: (reply: AgentReply) => void,
  reject: (error: AgentError) => void,
  socketPath: string,
): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  response.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > maxAnswerBytes) response.destroy();
    else chunks.push(chunk);
  });
  response.once("end", () => {
    resolve({ status: response.statusCode ?? 0, body: parseJson(Buffer.concat(chunks)) });
  });
  response.once("close", () => {
    reject(noAnswer(socketPath));
  });
}

function noAnswer(socketPath: string): AgentError {
  const message = `the agent does not answer on ${socketPath}. See: journalctl -u latebind -n 20`;
  return new AgentError("control/no-answer", "retry", message);
}

function explain(error: Error, socketPath: string): AgentError {
  if (error instanceof AgentError) return error;
  switch (systemCode(error)) {
    case "ENOENT":
    case "ECONNREFUSED":
    case "ENOTDIR":
      return new AgentError(
        "control/not-running",
        "operator",
        `the agent is not running, or has no socket at ${socketPath}. See: systemctl status latebind; start it with: systemctl start latebind`,
        { cause: error },
      );
    case "EACCES":
    case "EPERM": {
      const user = currentUser();
      return new AgentError(
        "control/no-permission",
        "operator",
        `user "${user}" may not talk to the agent: only root and the group ${controlGroup} may. Run it with sudo, or join the group and log in again: sudo usermod -aG ${controlGroup} ${user}`,
        { cause: error },
      );
    }
    default:
      return noAnswer(socketPath);
  }
}
