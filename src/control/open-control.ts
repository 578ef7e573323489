import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { EventFeed } from "../platform/event-feed.ts";
import type { Clock } from "../platform/time.ts";
import type { ControlledAgent } from "./controlled-agent.ts";
import { Noise } from "./noise.ts";
import { RateLimit } from "./rate-limit.ts";
import { readBody } from "./read-body.ts";
import { routes, type Reply } from "./routes.ts";
import { serverLimits } from "./server-limits.ts";
import { listenOnFile } from "./socket-file.ts";
import { streamEvents } from "./stream-events.ts";

interface ControlWorld {
  /** `/run/latebind/control.sock` */
  readonly path: string;
  readonly agent: ControlledAgent;
  readonly feed: EventFeed;
  readonly clock: Pick<Clock, "monotonic">;
}

/**
 * Serves local programs on a Unix socket, with HTTP and JSON as `openapi.json` describes. Who may open the file may do everything here.
 * @throws AgentError as `listenOnFile`.
 */
export async function openControl(world: ControlWorld): Promise<AsyncDisposable> {
  const control = new Control(world);
  await listenOnFile(control.server, world.path);
  world.agent.log.info("control.opened", { path: world.path });
  return control;
}

interface Visitor {
  readonly rate: RateLimit;
  deadline: NodeJS.Timeout | undefined;
}

class Control implements AsyncDisposable {
  readonly server: Server;
  readonly #world: ControlWorld;
  readonly #noise: Noise;
  readonly #visitors = new WeakMap<Socket, Visitor>();
  #streams = 0;

  constructor(world: ControlWorld) {
    this.#world = world;
    this.#noise = new Noise(world.agent.log, () => world.clock.monotonic());
    this.server = createServer({
      maxHeaderSize: serverLimits.headerBytes,
      // Node's own deadlines are looked after by a timer that wakes an idle device; each connection has one of its own instead.
      connectionsCheckingInterval: 2 ** 31 - 1,
      headersTimeout: 0,
      requestTimeout: 0,
      keepAliveTimeout: 0,
    });
    this.server.maxConnections = serverLimits.connections;
    this.server.on("connection", (socket) => this.#welcome(socket));
    this.server.on("drop", () => this.#noise.note("a connection was closed: there are too many"));
    this.server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
      if (error.code !== "ECONNRESET")
        this.#noise.note("a connection was closed: it did not speak HTTP", { error });
      socket.destroy();
    });
    this.server.on("request", (request, response) => void this.#serveSafely(request, response));
  }

  #welcome(socket: Socket): void {
    const { clock } = this.#world;
    this.#visitors.set(socket, {
      rate: new RateLimit(serverLimits, () => clock.monotonic()),
      deadline: undefined,
    });
    this.#setDeadline(socket);
    socket.once("close", () => this.#clearDeadline(socket));
  }

  /** For the next request to have come, or this one to have been answered. */
  #setDeadline(socket: Socket): void {
    const visitor = this.#visitors.get(socket);
    if (visitor === undefined) return;
    clearTimeout(visitor.deadline);
    const readBefore = socket.bytesRead;
    visitor.deadline = setTimeout(() => {
      if (socket.bytesRead > readBefore)
        this.#noise.note("a connection was closed: its request took too long");
      socket.destroy();
    }, serverLimits.requestMs);
  }

  #clearDeadline(socket: Socket): void {
    clearTimeout(this.#visitors.get(socket)?.deadline);
  }

  /** A fault in here is told, but no local program's request may end the agent. */
  async #serveSafely(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#serve(request, response);
    } catch (error) {
      this.#world.agent.log.error("control.failed", { error });
      if (response.headersSent) response.destroy();
      else
        this.#reply(response, { status: 500, payload: { error: "the agent has a fault; its log has more" } });
    }
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request;
    response.once("close", () => {
      if (!socket.destroyed) this.#setDeadline(socket);
    });
    const waitMs = this.#visitors.get(socket)?.rate.take();
    if (waitMs !== undefined) {
      this.#refuseFlood(socket, response, waitMs);
      return;
    }
    const url = new URL(`http://agent${request.url?.startsWith("/") === true ? request.url : "/"}`);
    if (url.pathname !== "/v1/events") this.#reply(response, await this.#answer(request, url));
    else if (request.method === "GET") this.#stream(socket, response);
    else this.#reply(response, { status: 405, payload: { error: "expected GET" } });
  }

  #refuseFlood(socket: Socket, response: ServerResponse, waitMs: number): void {
    this.#noise.note("requests were refused: one connection sent too many");
    response.setHeader("retry-after", String(Math.ceil(waitMs / 1000)));
    this.#reply(response, { status: 429, payload: { error: "too many requests on this connection" } });
    if (this.#visitors.get(socket)?.rate.refused === serverLimits.refusals) socket.destroySoon();
  }

  async #answer(request: IncomingMessage, { pathname, searchParams }: URL): Promise<Reply> {
    const route = routes.find(({ path }) => path.test(pathname));
    if (route === undefined) return { status: 404, payload: { error: "there is nothing at this path" } };
    const method = request.method ?? "";
    const handler = Object.hasOwn(route.methods, method) ? route.methods[method] : undefined;
    if (handler === undefined) {
      return { status: 405, payload: { error: `expected one of ${Object.keys(route.methods).join(", ")}` } };
    }
    const read = await readBody(request, serverLimits.bodyBytes);
    switch (read.status) {
      case "too-large":
        this.#noise.note("a request was refused: it was too large");
        return { status: 413, payload: { error: `expected at most ${serverLimits.bodyBytes / 1024} KiB` } };
      case "malformed":
        return { status: 400, payload: { error: "the body is not JSON" } };
      case "read": {
        const [, name = ""] = route.path.exec(pathname) ?? [];
        return handler({ name, query: searchParams, body: read.body }, this.#world.agent);
      }
    }
  }

  #stream(socket: Socket, response: ServerResponse): void {
    if (this.#streams >= serverLimits.streams) {
      this.#reply(response, {
        status: 429,
        payload: { error: `${serverLimits.streams} programs read events already` },
      });
      return;
    }
    const stop = streamEvents(response, this.#world.agent, this.#world.feed);
    this.#streams += 1;
    this.#clearDeadline(socket);
    response.once("close", () => {
      this.#streams -= 1;
      stop();
      socket.destroy();
    });
  }

  #reply(response: ServerResponse, reply: Reply): void {
    this.#world.agent.desk.counters.add("control_requests", { status: String(reply.status) });
    const isText = "text" in reply;
    const body = isText ? reply.text : `${JSON.stringify(reply.payload)}\n`;
    response.writeHead(reply.status, {
      "content-type": isText ? "text/plain; version=0.0.4; charset=utf-8" : "application/json",
      "content-length": Buffer.byteLength(body),
      "cache-control": "no-store",
      // What is left of a body that was too large is not read.
      ...(reply.status === 413 && { connection: "close" }),
    });
    response.end(body, () => {
      if (!isText) reply.afterwards?.();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = Promise.withResolvers<undefined>();
    this.server.close(() => {
      closed.resolve(undefined);
    });
    this.server.closeAllConnections();
    await closed.promise;
  }
}
