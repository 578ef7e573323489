import { createConnection, type Socket } from "node:net";
import { request } from "node:http";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { Desk } from "../../src/agent/desk.ts";
import type { InputEvent } from "../../src/agent/inputs.ts";
import type { ControlledAgent } from "../../src/control/controlled-agent.ts";
import { openControl } from "../../src/control/open-control.ts";
import { EventFeed } from "../../src/platform/event-feed.ts";
import { createLog } from "../../src/platform/log.ts";
import { systemClock } from "../../src/platform/time.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly text: string;
  readonly json: unknown;
}

/** The control socket of an agent that only remembers what it was told. */
export class ControlServer implements AsyncDisposable {
  readonly folder = new TemporaryFolder();
  readonly path = this.folder.join("control.sock");
  readonly lines: string[] = [];
  readonly told: InputEvent[] = [];
  readonly restarts: string[] = [];
  readonly feed = new EventFeed();
  readonly agent: ControlledAgent;
  #control: AsyncDisposable | undefined;

  /** @param agent in place of the one that remembers. */
  constructor(agent?: ControlledAgent) {
    const log = createLog(this.feed.tap({ write: (line) => this.lines.push(line) }), "debug");
    this.agent = agent ?? {
      version: "1.2.3",
      desk: new Desk("1.2.3", systemClock, Math.random, log),
      log,
      explain: async (last) => Array.from({ length: last }, (_, index) => ({ atMs: index, kind: "note" })),
      tell: (event) => this.told.push(event),
      restart: (because) => this.restarts.push(because),
    };
  }

  static async open(agent?: ControlledAgent): Promise<ControlServer> {
    const server = new ControlServer(agent);
    await server.start();
    return server;
  }

  async start(): Promise<void> {
    const { path, agent, feed } = this;
    this.#control = await openControl({ path, agent, feed, clock: systemClock });
  }

  /** As after a connection to a hub. */
  connect(): void {
    const { desk } = this.agent;
    desk.noteConnected();
    desk.noteTwin({
      desired: { version: 4, properties: { site: { a: 1 } } },
      reported: { programs: { modem: { on: true } } },
    });
    desk.noteHealth({
      at: "connected",
      hub: "h",
      deviceId: "d",
      desiredVersion: 4,
      failed: [],
      isFallback: false,
    });
  }

  warnings(): readonly string[] {
    return this.lines.filter((line) => line.startsWith("<4>"));
  }

  /** One request on a connection of its own; `body` goes as JSON, or as it is where it is a text. */
  async ask(target: string, body?: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    const [method = "", path = ""] = target.split(" ");
    const sent = request({ socketPath: this.path, method, path, headers, agent: false });
    const answered = Promise.withResolvers<Answer>();
    sent.once("error", answered.reject);
    sent.once("response", (response) => {
      const read = async () => {
        const said = await text(response);
        const isJson = response.headers["content-type"] === "application/json";
        const json: unknown = isJson ? JSON.parse(said) : undefined;
        answered.resolve({ status: response.statusCode ?? 0, headers: response.headers, text: said, json });
      };
      read().catch(answered.reject);
    });
    sent.end(body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body));
    return answered.promise;
  }

  /** A connection for what no HTTP client would send. */
  async raw(): Promise<Socket> {
    const socket = createConnection(this.path);
    socket.on("error", () => {});
    await once(socket, "connect");
    return socket;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#control?.[Symbol.asyncDispose]();
    this.folder[Symbol.dispose]();
  }
}

/** All that comes until the other side closes. */
export async function untilClosed(socket: Socket): Promise<string> {
  let said = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => {
    said += chunk;
  });
  // However it ends: with an error or without.
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
  return said;
}
