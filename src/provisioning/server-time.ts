import { request, type IncomingMessage } from "node:http";
import { within } from "../platform/abort.ts";
import { connectFailure } from "../platform/connect-failure.ts";
import { AgentError } from "../platform/failure.ts";
import { openSecureSocket } from "../platform/secure-socket.ts";
import type { TlsPeer } from "../platform/tls-options.ts";
import { connectCodes } from "./connect-codes.ts";

/** For TCP, TLS and the answer together. */
const answerTimeoutMs = 15_000;

/**
 * Asks an HTTPS server what time it is: a HEAD request without any credential, of whose answer only the `Date` counts (RFC 9110
 * section 6.6.1). The server proves its name as always, by this device's clock: a clock that is off by more than the certificate
 * holds cannot be measured like this.
 * @returns milliseconds since 1970, in whole seconds.
 * @throws AgentError as `connectFailure` with the codes of this room, `provisioning/no-answer`, `provisioning/malformed-answer` (retry).
 */
export async function askServerTime(peer: TlsPeer, signal: AbortSignal): Promise<number> {
  const end = new AbortController();
  const late = () =>
    new AgentError(
      "provisioning/no-answer",
      "retry",
      `${peer.host}:${peer.port} did not tell the time within ${answerTimeoutMs / 1000} s`,
    );
  try {
    return await within(answerTimeoutMs, late, ask(peer, end.signal), signal);
  } finally {
    end.abort();
  }
}

async function ask(peer: TlsPeer, signal: AbortSignal): Promise<number> {
  const failed = { codes: connectCodes, host: peer.host, port: peer.port };
  const socket = await openSecureSocket(peer, failed, signal);
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  try {
    const headers = { host: peer.host, connection: "close" };
    const asked = request(
      { method: "HEAD", path: "/", headers, createConnection: () => socket, signal },
      resolve,
    );
    asked.on("error", reject);
    asked.end();
    return readDate((await promise).headers.date ?? "", peer);
  } catch (error) {
    throw error instanceof AgentError ? error : connectFailure(error, failed);
  } finally {
    socket.destroy();
  }
}

function readDate(text: string, { host, port }: TlsPeer): number {
  const ms = Date.parse(text);
  if (Number.isFinite(ms)) return ms;
  throw new AgentError(
    "provisioning/malformed-answer",
    "retry",
    `${host}:${port} answered without a date that can be read`,
  );
}
