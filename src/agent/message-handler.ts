import type { CloudMessage } from "../hub/callers.ts";
import type { Config } from "../config/config.ts";
import { AgentError } from "../platform/failure.ts";
import type { Log } from "../platform/log.ts";
import { runCommand } from "../platform/run-command.ts";
import type { Counters } from "./counters.ts";

/** The hub lets no more than 50 wait for a device. */
const mostWaiting = 64;

/** Of each stream: nobody reads it but for the reason of a failure. */
const maxOutputBytes = 16 * 1024;

/**
 * Hands messages from the cloud to the configured program, one at a time and each once: the hub has been told already that they arrived.
 * @returns what takes a message.
 */
export function createMessageHandler(
  { command, timeoutMs }: Config["messages"],
  counters: Counters,
  log: Log,
): (message: CloudMessage) => void {
  const waiting: CloudMessage[] = [];
  let isBusy = false;

  const handOn = async (message: CloudMessage, [file, ...args]: readonly [string, ...string[]]) => {
    try {
      const { exitCode, lastStderrLine } = await runCommand(
        { file, args, stdin: message.body, env: environmentOf(message), timeoutMs, maxOutputBytes },
        new AbortController().signal,
      );
      if (exitCode !== 0) return fail(`${file} exited with ${exitCode}: ${lastStderrLine}`);
      counters.add("cloud_messages_handled", { outcome: "done" });
      log.info("message.handled", { id: message.messageId });
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      fail(error.message);
    }
  };
  const fail = (says: string) => {
    counters.add("cloud_messages_handled", { outcome: "failed" });
    log.error("message.failed", { says });
  };
  const work = async (command: readonly [string, ...string[]]) => {
    isBusy = true;
    for (let message = waiting.shift(); message !== undefined; message = waiting.shift())
      await handOn(message, command);
    isBusy = false;
  };

  return (message) => {
    log.info("message.received", { id: message.messageId, bytes: message.body.byteLength });
    if (command === undefined) return;
    if (waiting.length >= mostWaiting) {
      fail(`dropped: ${mostWaiting} messages wait already`);
      return;
    }
    waiting.push(message);
    if (!isBusy) void work(command);
  };
}

/** Control characters have no place in an environment; in JSON they are written out. */
function environmentOf(message: CloudMessage): Readonly<Record<string, string>> {
  const { messageId, correlationId, userId, contentType, contentEncoding, properties } = message;
  const texts = {
    LATEBIND_MESSAGE_ID: messageId,
    LATEBIND_CORRELATION_ID: correlationId,
    LATEBIND_USER_ID: userId,
    LATEBIND_CONTENT_TYPE: contentType,
    LATEBIND_CONTENT_ENCODING: contentEncoding,
    LATEBIND_PROPERTIES: JSON.stringify(properties),
  };
  return Object.fromEntries(
    Object.entries(texts).map(([name, text]) => [name, (text ?? "").replaceAll(/\p{Cc}/gu, " ")]),
  );
}
