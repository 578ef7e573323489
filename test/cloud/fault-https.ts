import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { answerBody } from "./fault-answer.ts";
import type { FaultDesk } from "./fault-desk.ts";
import type { Operation, RequestAct } from "./fault-spec.ts";
import type { HttpsService } from "./https-front.ts";
import { resetBeneath } from "./tls-endpoint.ts";

/** How the paths of requests look; the device's ID is the group. */
const paths: readonly { readonly operation: Operation; readonly method: string; readonly path: RegExp }[] = [
  { operation: "register", method: "PUT", path: /^\/[^/]+\/registrations\/([^/]+)\/register$/ },
  { operation: "poll", method: "GET", path: /^\/[^/]+\/registrations\/([^/]+)\/operations\/[^/]+$/ },
  { operation: "lookup", method: "POST", path: /^\/[^/]+\/registrations\/([^/]+)$/ },
  { operation: "telemetry", method: "POST", path: /^\/devices\/([^/]+)\/messages\/events$/ },
];

/** The same service, except for requests that a fault strikes. */
export function withHttpsFaults(service: HttpsService, desk: FaultDesk, endpoint: string): HttpsService {
  return async (request, response, certificates) => {
    const { pathname } = new URL(request.url ?? "/", "https://host");
    const call = paths.find(({ method, path }) => method === request.method && path.test(pathname));
    const id = decodeURIComponent(call?.path.exec(pathname)?.[1] ?? "");
    const act = call === undefined ? undefined : desk.request(endpoint, id, call.operation);
    if (act !== undefined && !(await actOn(act, request, response))) return;
    await service(request, response, certificates);
  };
}

/** @returns whether the service shall answer after all. */
async function actOn(act: RequestAct, request: IncomingMessage, response: ServerResponse): Promise<boolean> {
  switch (act.act) {
    case "delay": {
      const gone = new AbortController();
      request.socket.once("close", () => gone.abort());
      await sleep(act.delayMs, undefined, { signal: gone.signal }).catch(() => {});
      return !gone.signal.aborted;
    }
    case "silence":
      request.resume();
      return false;
    case "drop":
      if (act.how === "reset") resetBeneath(request.socket);
      else request.socket.end();
      return false;
    case "answer": {
      request.resume();
      const { status, retryAfterSeconds } = act;
      if (retryAfterSeconds !== undefined) response.setHeader("retry-after", retryAfterSeconds);
      response.writeHead(status, { "content-type": "application/json; charset=utf-8" }).end(answerBody(act));
      return false;
    }
  }
}
