import { request, type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { within } from "./abort.ts";
import { AgentError, systemCode } from "./failure.ts";
import { proxyWords, type Proxy } from "./proxy.ts";

/** A proxy connects to the server before it answers, and the server may be slow. */
const answerTimeoutMs = 20_000;

/**
 * Asks an HTTP proxy for a tunnel. Names of servers are left to the proxy: this device's DNS may not know them.
 * @returns a connection on which nothing has been said yet.
 * @throws AgentError `platform/proxy-unreachable`, `platform/proxy-failed`, `platform/not-a-proxy` (retry),
 *   `platform/proxy-login`, `platform/proxy-forbids` (operator).
 * @see RFC 9110 section 9.3.6
 */
export async function openTunnel(
  proxy: Proxy,
  target: { readonly host: string; readonly port: number },
  signal: AbortSignal,
): Promise<Socket> {
  signal.throwIfAborted();
  const end = new AbortController();
  const late = () =>
    new AgentError(
      "platform/proxy-unreachable",
      "retry",
      `${proxyWords(proxy)} made no tunnel to ${target.host}:${target.port} within ${answerTimeoutMs / 1000} s`,
    );
  try {
    return await within(answerTimeoutMs, late, ask(proxy, target, end.signal), signal);
  } catch (error) {
    end.abort(error);
    throw error;
  }
}

async function ask(
  proxy: Proxy,
  target: { readonly host: string; readonly port: number },
  signal: AbortSignal,
): Promise<Socket> {
  const authority = `${target.host}:${target.port}`;
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = connect({ host: proxy.host, port: proxy.port });
  socket.setNoDelay(true);
  const asked = request({
    method: "CONNECT",
    path: authority,
    createConnection: () => socket,
    headers: {
      host: authority,
      ...(proxy.authorization !== undefined && { "proxy-authorization": proxy.authorization.reveal() }),
    },
    signal,
  });
  asked.once("connect", (response, _socket, head) => {
    const failure = refusal(response, head, proxy, authority);
    if (failure === undefined) resolve(socket);
    else reject(failure);
  });
  // Any answer to CONNECT ends the HTTP; this one is not even known as an answer.
  asked.once("response", (response) => {
    reject(notAProxy(proxy, `answered CONNECT with HTTP ${response.statusCode ?? "?"}`));
  });
  // This listener stays: the request is told of an abort too.
  asked.on("error", (error) => {
    reject(brokenOff(error, proxy, authority));
  });
  asked.end();
  try {
    return await promise;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function refusal(
  { statusCode = 0 }: IncomingMessage,
  head: Buffer,
  proxy: Proxy,
  authority: string,
): AgentError | undefined {
  const who = proxyWords(proxy);
  if (statusCode === 407) {
    const message =
      proxy.authorization === undefined
        ? `${who} asks who we are (HTTP 407). Put user:password into a file and name it in proxy_credentials`
        : `${who} does not accept our user name or password (HTTP 407). Mend the file that proxy_credentials names`;
    return new AgentError("platform/proxy-login", "operator", message);
  }
  if (statusCode >= 500) {
    const message = `${who} does not reach ${authority} (HTTP ${statusCode})`;
    return new AgentError("platform/proxy-failed", "retry", message);
  }
  if (statusCode >= 400) {
    const message = `${who} allows no tunnel to ${authority} (HTTP ${statusCode}). Ask for it to be allowed`;
    return new AgentError("platform/proxy-forbids", "operator", message);
  }
  if (statusCode >= 300)
    return notAProxy(proxy, `answered with a redirect, as a login page does (HTTP ${statusCode})`);
  // A server for TLS waits for us to speak first.
  if (head.length > 0) return notAProxy(proxy, "sent something through the tunnel before anybody had asked");
  return undefined;
}

function brokenOff(error: Error, proxy: Proxy, authority: string): AgentError {
  const code = systemCode(error);
  // Node's HTTP parser names what it cannot read.
  if (code.startsWith("HPE_")) return notAProxy(proxy, "does not answer in HTTP", error);
  if (code === "ECONNRESET" || code === "EPIPE") {
    const message = `${proxyWords(proxy)} closed the connection when it was asked for a tunnel to ${authority}`;
    return new AgentError("platform/proxy-failed", "retry", message, { cause: error });
  }
  return new AgentError(
    "platform/proxy-unreachable",
    "retry",
    `${proxyWords(proxy)} cannot be reached (${code}). Check proxy in the configuration, and the network`,
    { cause: error },
  );
}

function notAProxy(proxy: Proxy, because: string, cause?: Error): AgentError {
  return new AgentError(
    "platform/not-a-proxy",
    "retry",
    `${proxyWords(proxy)} ${because}. Check proxy in the configuration`,
    cause === undefined ? {} : { cause },
  );
}
