import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { adminRoutes, type AdminRoute, type AdminSubject } from "./admin-routes.ts";
import { CloudError } from "./cloud-error.ts";
import { parseJson, type JsonValue } from "./json.ts";

interface AdminApi {
  readonly url: string;
  close(): Promise<void>;
}

/** The levers over HTTP and JSON, on 127.0.0.1 only and without credentials: whoever has the machine has the cloud. */
export async function serveAdminApi(subject: AdminSubject & { readonly port: number }): Promise<AdminApi> {
  const routes = adminRoutes(subject);
  const server = createServer((request, response) => void answer(routes, request, response));
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(subject.port, "127.0.0.1", resolve);
  await promise;
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : subject.port;
  return {
    url: `http://127.0.0.1:${port}`,
    async close() {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      server.closeAllConnections();
      await closed.promise;
    },
  };
}

async function answer(
  routes: readonly AdminRoute[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    const url = new URL(request.url ?? "/", "http://127.0.0.1");
    const { route, parameters } = findRoute(routes, request.method ?? "GET", url.pathname);
    const body = await readBody(request);
    const result = await route.run({
      parameters,
      query: url.searchParams,
      body,
      ifMatch: request.headers["if-match"],
    });
    reply(response, result === undefined ? 204 : 200, result);
  } catch (error) {
    const status = error instanceof CloudError ? error.httpStatus : 500;
    const errorCode = error instanceof CloudError ? error.errorCode : undefined;
    reply(response, status, { error: error instanceof Error ? error.message : String(error), errorCode });
  }
}

function reply(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(body === undefined ? undefined : `${JSON.stringify(body, undefined, 2)}\n`);
}

function findRoute(
  routes: readonly AdminRoute[],
  method: string,
  path: string,
): { readonly route: AdminRoute; readonly parameters: Readonly<Record<string, string>> } {
  const matches = routes
    .map((route) => ({ route, parameters: matchPath(route.path, path) }))
    .filter((match) => match.parameters !== undefined);
  const match = matches.find(({ route }) => route.method === method);
  if (match?.parameters !== undefined) return { route: match.route, parameters: match.parameters };
  if (matches.length === 0)
    throw new CloudError(404, `there is nothing at ${path}; GET / lists what there is`);
  throw new CloudError(405, `${path} knows ${matches.map(({ route }) => route.method).join(", ")} only`);
}

/** `/hubs/:hub` against `/hubs/test`; parameters are percent-decoded. */
function matchPath(pattern: string, path: string): Readonly<Record<string, string>> | undefined {
  const wanted = pattern.split("/");
  const given = path.split("/");
  if (wanted.length !== given.length) return undefined;
  const parameters: Record<string, string> = {};
  for (const [index, part] of wanted.entries()) {
    const text = given[index] ?? "";
    if (part.startsWith(":") && text !== "") parameters[part.slice(1)] = decodePathPart(text);
    else if (part !== text) return undefined;
  }
  return parameters;
}

function decodePathPart(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new CloudError(400, `${text} is damaged percent-encoding`);
  }
}

async function readBody(request: IncomingMessage): Promise<JsonValue | undefined> {
  request.setEncoding("utf8");
  let text = "";
  for await (const chunk of request) text += String(chunk);
  if (text.trim() === "") return undefined;
  const body = parseJson(text);
  if (body === undefined) throw new CloudError(400, "the body is not JSON");
  return body;
}
