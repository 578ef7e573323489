import { randomUUID, type X509Certificate } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { refusals, refuse, type DpsAnswer, type DpsRefusal } from "./dps-answer.ts";
import { customPayload, summarize } from "./dps-journal.ts";
import { isKnownApiVersion, tokenObjection, type Login } from "./dps-login.ts";
import type { HttpsService } from "./https-front.ts";
import type { Journal } from "./journal.ts";
import type { Registrations } from "./registrations.ts";
import { parseSasToken } from "./sas-token.ts";
import type { ServerClock } from "./server-clock.ts";

interface DpsOverHttpsOptions {
  readonly idScope: string;
  readonly registrations: Registrations;
  readonly journal: Journal;
  readonly clock: ServerClock;
}

/** One of the three things that can be asked for. */
type Call = { readonly scope: string; readonly registrationId: string } & (
  | { readonly kind: "register" | "lookup" }
  | { readonly kind: "poll"; readonly operationId: string }
);

const methods = { register: "PUT", poll: "GET", lookup: "POST" } as const;
const notFound: DpsRefusal = { status: 404, errorCode: 404000, message: "Resource not found." };
const wrongMethod: DpsRefusal = { status: 405, errorCode: 405000, message: "Method not allowed." };
const wrongVersion: DpsRefusal = { status: 400, errorCode: 400003, message: "Invalid api-version." };
const wrongMediaType: DpsRefusal = { status: 415, errorCode: 415001, message: "Unsupported media type." };

/**
 * DPS over HTTPS: `PUT …/register`, `GET …/operations/{id}` (a body is read over) and `POST …/registrations/{id}`.
 * @see https://learn.microsoft.com/rest/api/iot-dps/device/runtime-registration
 */
export function serveDpsOverHttps(options: DpsOverHttpsOptions): HttpsService {
  return async (request, response, certificates) => {
    request.setEncoding("utf8");
    let body = "";
    for await (const chunk of request) body += String(chunk);
    const url = new URL(request.url ?? "/", "https://dps");
    const answer = await handle(options, request, url, body, certificates);
    options.journal.record({
      endpoint: "dps",
      kind: "https",
      method: request.method ?? "",
      path: url.pathname,
      status: answer.status,
    });
    reply(response, request, url, answer);
  };
}

async function handle(
  { idScope, registrations, journal, clock }: DpsOverHttpsOptions,
  request: IncomingMessage,
  url: URL,
  body: string,
  certificates: readonly X509Certificate[],
): Promise<DpsAnswer> {
  const now = clock.now();
  const call = readCall(url.pathname);
  if (call === undefined) return refuse(notFound, now);
  if (request.method !== methods[call.kind]) return refuse(wrongMethod, now);
  const apiVersion = url.searchParams.get("api-version") ?? "";
  if (!isKnownApiVersion(apiVersion)) return refuse(wrongVersion, now);
  if (call.scope !== idScope) return refuse(refusals.unauthorized, now);
  const { registrationId } = call;
  const proof = readProof(request, idScope, registrationId, certificates, now);
  if (proof === undefined) return refuse(refusals.unauthorized, now);
  if (call.kind !== "poll" && body !== "" && !isJson(request)) return refuse(wrongMediaType, now);

  const login: Login = { registrationId, apiVersion, transport: "https", proof };
  const seen = { endpoint: "dps", clientId: registrationId };
  switch (call.kind) {
    case "register": {
      const answer = await registrations.register(login, body);
      journal.record({ ...seen, kind: "register", ...summarize(answer), ...customPayload(body) });
      return answer;
    }
    case "poll": {
      const answer = registrations.poll(login, call.operationId);
      journal.record({ ...seen, kind: "poll", operationId: call.operationId, ...summarize(answer) });
      return answer;
    }
    case "lookup": {
      const answer = registrations.lookup(login, body);
      journal.record({ ...seen, kind: "lookup", ...summarize(answer) });
      return answer;
    }
  }
}

function readCall(path: string): Call | undefined {
  const [, scope, id, rest] = /^\/([^/]+)\/registrations\/([^/]+)(?:\/(.+))?$/.exec(path) ?? [];
  if (scope === undefined || id === undefined) return undefined;
  const registrationId = percentDecoded(id);
  if (registrationId === undefined) return undefined;
  if (rest === undefined) return { kind: "lookup", scope, registrationId };
  if (rest === "register") return { kind: "register", scope, registrationId };
  const operationId = percentDecoded(/^operations\/([^/]+)$/.exec(rest)?.[1] ?? "");
  if (operationId === undefined || operationId === "") return undefined;
  return { kind: "poll", scope, registrationId, operationId };
}

/** @returns undefined for a token that cannot be right whatever the key is. */
function readProof(
  { headers: { authorization } }: IncomingMessage,
  idScope: string,
  registrationId: string,
  certificates: readonly X509Certificate[],
  nowMs: number,
): Login["proof"] | undefined {
  if (authorization === undefined) {
    return certificates.length === 0 ? { by: "nothing" } : { by: "certificate", chain: certificates };
  }
  const token = parseSasToken(authorization);
  if ("malformed" in token) return undefined;
  const objection = tokenObjection(token, idScope, registrationId, nowMs);
  // A token may run out while a device polls with it: the registrations judge that.
  return objection === undefined || objection === "token expired" ? { by: "token", token } : undefined;
}

function isJson({ headers }: IncomingMessage): boolean {
  return /^application\/json *(;|$)/i.test(headers["content-type"] ?? "");
}

function reply(response: ServerResponse, request: IncomingMessage, url: URL, answer: DpsAnswer): void {
  const { status, body, retryAfterSeconds } = answer;
  const { operationId, errorCode } = body;
  response.writeHead(status, {
    "content-type": "application/json; charset=utf-8",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    "x-ms-request-id": randomUUID(),
    ...(typeof errorCode === "number" ? { "x-ms-error-code": String(errorCode) } : {}),
    ...(retryAfterSeconds === undefined ? {} : { "retry-after": String(retryAfterSeconds) }),
    ...(status === 202 && typeof operationId === "string"
      ? { location: locate(request, url, operationId) }
      : {}),
  });
  response.end(JSON.stringify(body));
}

/** Where to ask for the operation, from what was asked: a register call or that operation itself. */
function locate({ headers }: IncomingMessage, url: URL, operationId: string): string {
  const registration = url.pathname.replace(/\/(register|operations\/[^/]+)$/, "");
  const version = url.searchParams.get("api-version") ?? "";
  return `https://${headers.host ?? ""}${registration}/operations/${operationId}?api-version=${version}`;
}

function percentDecoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
