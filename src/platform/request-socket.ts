import { createConnection, createServer, type Server, type Socket } from "node:net";
import { untilAborted } from "./abort.ts";
import { AgentError, systemCode } from "./failure.ts";

/** The desired properties of a twin have 32 KiB together. */
const maxQuestionBytes = 64 * 1024;
/** A handler may say much. */
const maxAnswerBytes = 512 * 1024;

/** A client that does not say what it wants within this time is shut out. */
const questionTimeoutMs = 5_000;

/** More at a time are shut out at once. */
const maxConnections = 16;

export interface RequestServer extends AsyncDisposable {
  /** Resolves once nobody has been connected for this long. */
  idleFor(ms: number, signal: AbortSignal): Promise<void>;
}

/** What came of a connection, for the log. */
export type Refusal = "too many connections" | "too large" | "too slow" | "closed early";

/**
 * Serves a local stream socket: one line of text as the question, one line as the answer, and the connection is over.
 *
 * Whoever connects is trusted with nothing: size, time and number of connections are bounded, and a client that goes away calls its
 * question off.
 * @param at the descriptor that the service manager passed on (sd_listen_fds(3)), or a path.
 * @param answer must not throw.
 */
export async function serveRequests(
  at: { readonly fd: number } | { readonly path: string },
  answer: (question: string, gone: AbortSignal) => Promise<string>,
  onRefused: (why: Refusal) => void,
): Promise<RequestServer> {
  const open = new Set<Socket>();
  let changed = Promise.withResolvers<undefined>();
  const server = createServer((socket) => {
    // A client that breaks off is seen by its "close".
    socket.on("error", () => {});
    if (open.size >= maxConnections) {
      onRefused("too many connections");
      socket.destroy();
      return;
    }
    open.add(socket);
    changed.resolve(undefined);
    socket.once("close", () => {
      open.delete(socket);
      changed.resolve(undefined);
    });
    void converse(socket, answer, onRefused);
  });
  await listen(server, at);
  return {
    async idleFor(ms, signal) {
      for (;;) {
        changed = Promise.withResolvers();
        if (open.size > 0) {
          await untilAborted(changed.promise, signal);
          continue;
        }
        if (!(await happensWithin(ms, changed.promise, signal))) return;
      }
    },
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      const closed = Promise.withResolvers<undefined>();
      server.close(() => closed.resolve(undefined));
      await closed.promise;
    },
  };
}

async function listen(
  server: Server,
  at: { readonly fd: number } | { readonly path: string },
): Promise<void> {
  const listening = Promise.withResolvers<undefined>();
  server.once("error", listening.reject);
  server.listen(at, () => listening.resolve(undefined));
  await listening.promise;
}

async function happensWithin(ms: number, event: Promise<unknown>, signal: AbortSignal): Promise<boolean> {
  const over = Promise.withResolvers<false>();
  const timer = setTimeout(() => over.resolve(false), ms);
  try {
    return await untilAborted(Promise.race([event.then(() => true), over.promise]), signal);
  } finally {
    clearTimeout(timer);
  }
}

async function converse(
  socket: Socket,
  answer: (question: string, gone: AbortSignal) => Promise<string>,
  onRefused: (why: Refusal) => void,
): Promise<void> {
  const question = await readLine(socket, maxQuestionBytes, questionTimeoutMs);
  if ("refused" in question) {
    onRefused(question.refused);
    socket.destroy();
    return;
  }
  const gone = new AbortController();
  socket.once("close", () => gone.abort(new Error("the client has gone")));
  if (socket.destroyed) return;
  const text = await answer(question.line, gone.signal);
  // A client that does not take its answer is not waited for.
  socket.setTimeout(questionTimeoutMs, () => socket.destroy());
  socket.end(`${text}\n`);
}

/** The first line; what comes after it is not read. */
async function readLine(
  socket: Socket,
  maxBytes: number,
  timeoutMs: number,
): Promise<{ readonly line: string } | { readonly refused: Refusal }> {
  const { promise, resolve } = Promise.withResolvers<{ line: string } | { refused: Refusal }>();
  const chunks: Buffer[] = [];
  let bytes = 0;
  const timer = setTimeout(() => resolve({ refused: "too slow" }), timeoutMs);
  const onData = (chunk: Buffer): void => {
    const end = chunk.indexOf(0x0a);
    chunks.push(end < 0 ? chunk : chunk.subarray(0, end));
    bytes += chunk.length;
    if (bytes > maxBytes) resolve({ refused: "too large" });
    else if (end >= 0) resolve({ line: Buffer.concat(chunks).toString("utf8") });
  };
  const onEnd = (): void => resolve({ refused: "closed early" });
  socket.on("data", onData).once("end", onEnd).once("close", onEnd);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    socket.off("data", onData).off("end", onEnd).off("close", onEnd);
    // Read on and drop: only so is it seen that the client goes away.
    if (!socket.destroyed) socket.resume();
  }
}

/**
 * Asks a server of `serveRequests` one question.
 * @throws AgentError `platform/socket-unreachable` (operator: not there, or not allowed), `platform/socket-silent` (retry: gone without an
 *   answer, or too slow). The signal's reason.
 */
export async function ask(
  path: string,
  question: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<string> {
  signal.throwIfAborted();
  const socket = createConnection({ path });
  const failed = Promise.withResolvers<never>();
  let isConnected = false;
  socket.once("connect", () => {
    isConnected = true;
  });
  socket.once("error", (error) => {
    const why = systemCode(error);
    failed.reject(isConnected ? unanswered(path, why, error) : unreachable(path, why, error));
  });
  try {
    socket.write(`${question}\n`);
    const read = readLine(socket, maxAnswerBytes, timeoutMs);
    const answer = await untilAborted(Promise.race([read, failed.promise]), signal);
    if ("refused" in answer) throw unanswered(path, answer.refused);
    return answer.line;
  } finally {
    socket.destroy();
    // Both may fail; one of them was told.
    failed.promise.catch(() => {});
  }
}

function unanswered(path: string, why: string, cause?: unknown): AgentError {
  const message = `${path} does not answer (${why})`;
  return new AgentError("platform/socket-silent", "retry", message, { cause });
}

function unreachable(path: string, why: string, cause: unknown): AgentError {
  return new AgentError("platform/socket-unreachable", "operator", `${path} cannot be reached (${why})`, {
    cause,
  });
}
