import { request, type IncomingMessage, type RequestOptions } from "node:http";
import { within } from "../platform/abort.ts";
import { connectFailure } from "../platform/connect-failure.ts";
import { AgentError } from "../platform/failure.ts";
import type { WayOut } from "../platform/way-out.ts";
import { parseRetryAfter } from "../platform/retry-after.ts";
import { openSecureSocket } from "../platform/secure-socket.ts";
import type { LinkProof } from "../mqtt/link.ts";
import { connectCodes } from "./connect-codes.ts";
import type { RegistrationTransport } from "./register.ts";
import { pollPath, readChallenge, registerBody, registerPath, type Reply, type TpmKeys } from "./wire.ts";

export interface HttpsConnection extends LinkProof, WayOut {
  readonly endpoint: string;
  readonly port: number;
  readonly trustedRoots: string;
  readonly idScope: string;
  readonly registrationId: string;
  readonly apiVersion: string;
  /** Product and version, for the service's own records: `latebind/1.2.3`. */
  readonly userAgent: string;
  readonly payload?: unknown;
}

interface Question {
  readonly method: "PUT" | "GET";
  readonly path: string;
  readonly body: string;
}

/** For TCP, TLS and the whole answer together. */
const answerTimeoutMs = 30_000;

/** RFC 9110 section 7.2: the default port is left out of Host. */
const httpsPort = 443;

/** What DPS says at most (96 KiB) and then some. */
const mostBytes = 128 * 1024;

/**
 * Speaks with DPS over HTTPS, each question on a connection of its own: they are seconds apart, and a resumed TLS session
 * would not show the client's chain again.
 * @throws AgentError from each call: `provisioning/no-answer`, `provisioning/malformed-answer`, `provisioning/unreachable`,
 *   `provisioning/closed-early`, `provisioning/name-not-found`, `provisioning/tls-failed`, `provisioning/tls-intercepted` (retry),
 *   `provisioning/tls-untrusted`, `provisioning/tls-wrong-name`, `provisioning/tls-validity`,
 *   `provisioning/tls-incompatible`, `provisioning/certificate-refused` (operator); what the client's key failed with.
 * @see https://learn.microsoft.com/rest/api/iot-dps/device/runtime-registration
 */
export function overHttps(to: HttpsConnection): RegistrationTransport {
  const { idScope, registrationId, apiVersion } = to;
  return {
    register: async (signal) => {
      const path = registerPath(idScope, registrationId, apiVersion);
      return ask(to, { method: "PUT", path, body: registerBody(registrationId, to.payload) }, signal);
    },
    poll: async (operationId, signal) => {
      const path = pollPath(idScope, registrationId, operationId, apiVersion);
      return ask(to, { method: "GET", path, body: "" }, signal);
    },
  };
}

/** What `overHttpsByTpm` asks of a TPM. */
export interface TpmProver extends TpmKeys {
  /** Solves a challenge: the token that is signed with the key in it. */
  readonly solve: (authenticationKey: string, signal: AbortSignal) => Promise<LinkProof>;
}

/**
 * As `overHttps`, for a TPM: it introduces itself without authorization, and what DPS answers only that TPM can read.
 * @throws AgentError besides as `readChallenge`, and what `solve` fails with.
 * @see https://learn.microsoft.com/azure/iot-dps/concepts-tpm-attestation
 */
export function overHttpsByTpm(to: HttpsConnection, tpm: TpmProver): RegistrationTransport {
  const { idScope, registrationId, apiVersion, payload } = to;
  const path = registerPath(idScope, registrationId, apiVersion);
  const registration = { method: "PUT", path, body: registerBody(registrationId, payload, tpm) } as const;
  let proof: LinkProof = {};
  return {
    register: async (signal) => {
      proof = await tpm.solve(readChallenge(await ask(to, registration, signal)), signal);
      return ask({ ...to, ...proof }, registration, signal);
    },
    poll: async (operationId, signal) => overHttps({ ...to, ...proof }).poll(operationId, signal),
  };
}

async function ask(to: HttpsConnection, question: Question, signal: AbortSignal): Promise<Reply> {
  signal.throwIfAborted();
  const end = new AbortController();
  try {
    return await within(answerTimeoutMs, noAnswer, exchange(to, question, end.signal), signal);
  } finally {
    end.abort();
  }
}

function noAnswer(): AgentError {
  return new AgentError(
    "provisioning/no-answer",
    "retry",
    `DPS did not answer within ${answerTimeoutMs / 1000} s`,
  );
}

async function exchange(to: HttpsConnection, question: Question, signal: AbortSignal): Promise<Reply> {
  const { endpoint: host, port, proxy, clientCertificate } = to;
  const key = clientCertificate === undefined ? {} : { key: clientCertificate.key };
  const failed = { codes: connectCodes, host, port, ...key, ...(proxy !== undefined && { proxy }) };
  // Secured first: what is written during the handshake turns each of its failures into EPROTO.
  const socket = await openSecureSocket({ ...to, host }, failed, signal);
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  try {
    const asked = request(
      { ...requestOptions(to, question), createConnection: () => socket, signal },
      resolve,
    );
    asked.on("error", reject);
    asked.end(question.body);
    return await read(await promise);
  } catch (error) {
    throw error instanceof AgentError ? error : connectFailure(error, failed);
  } finally {
    socket.destroy();
  }
}

function requestOptions(to: HttpsConnection, { method, path, body }: Question): RequestOptions {
  const { endpoint, port, userAgent, password } = to;
  return {
    method,
    path,
    headers: {
      host: port === httpsPort ? endpoint : `${endpoint}:${port}`,
      accept: "application/json",
      connection: "close",
      "user-agent": userAgent,
      ...(password !== undefined && { authorization: password.reveal() }),
      ...(body !== "" && {
        "content-type": "application/json; charset=utf-8",
        "content-length": Buffer.byteLength(body),
      }),
    },
  };
}

async function read(response: IncomingMessage): Promise<Reply> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > mostBytes) {
      throw new AgentError("provisioning/malformed-answer", "retry", `DPS sent more than ${mostBytes} bytes`);
    }
    chunks.push(chunk);
  }
  const retryAfterMs = parseRetryAfter(response.headers["retry-after"] ?? null);
  const after = retryAfterMs === undefined ? {} : { retryAfterMs };
  return { status: response.statusCode ?? 0, ...after, body: Buffer.concat(chunks) };
}
