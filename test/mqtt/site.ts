import { Line } from "../../src/mqtt/line.ts";
import type { LineMemory } from "../../src/mqtt/line-memory.ts";
import type { ConnectResult, Link, LinkOptions } from "../../src/mqtt/link.ts";
import { untilAborted } from "../../src/platform/abort.ts";
import { AgentError } from "../../src/platform/failure.ts";
import { ManualClock } from "../manual-clock.ts";
import { RecordingLog } from "../platform/recording-log.ts";

const never = new AbortController().signal;

class FakeLink implements Link {
  readonly #lost = new AbortController();
  probes = 0;

  get lost(): AbortSignal {
    return this.#lost.signal;
  }
  probe(): void {
    this.probes += 1;
  }
  end(code: string): void {
    this.#lost.abort(new AgentError(code, "retry", "it ended"));
  }
  async subscribe(): Promise<void> {}
  async publish(): Promise<void> {}
  async [Symbol.asyncDispose](): Promise<void> {
    this.end("mqtt/connection-lost");
  }
}

/** A device in a network with a firewall, as far as a line can tell. */
export class Site {
  readonly clock = new ManualClock(1_800_000_000_000);
  readonly log = new RecordingLog();
  readonly tried: LinkOptions[] = [];
  readonly written: LineMemory[] = [];
  bounds = { leastMs: 30_000, mostMs: 180_000 };
  network = "eth0 via 10.0.0.1";
  /** What each way fails with; undefined where it works. */
  mqtt: string | undefined;
  webSocket: string | undefined;
  last: FakeLink | undefined;
  /** Where set, no attempt gets further than this. */
  hang: Promise<never> | undefined;
  #stored: LineMemory | undefined;
  line: Line = this.restart();

  restart(): Line {
    this.line = new Line({
      openLink: async (options, signal) => this.#open(options, signal),
      memory: {
        read: () => this.#stored,
        write: async (value) => {
          this.#stored = value;
          this.written.push(value);
        },
      },
      clock: this.clock,
      log: this.log.log,
      network: () => this.network,
      keepAlive: this.bounds,
    });
    return this.line;
  }

  async open(more: Partial<LinkOptions> = {}): Promise<ConnectResult> {
    return this.line.open(
      {
        host: "hub.test",
        port: 8883,
        transport: "auto",
        webSocket: { port: 443, path: "/ws" },
        trustedRoots: "",
        clientId: "gw",
        username: "user",
        cleanSession: false,
        keepAliveMs: 180_000,
        connectTimeoutMs: 30_000,
        onMessage: () => {},
        ...more,
      },
      never,
    );
  }

  /** How the last `open` went about it. */
  ways(): readonly string[] {
    return this.tried.splice(0).map(({ transport }) => String(transport));
  }

  async #open(options: LinkOptions, signal: AbortSignal): Promise<ConnectResult> {
    this.tried.push(options);
    if (this.hang !== undefined) await untilAborted(this.hang, signal);
    const code = options.transport === "websocket" ? this.webSocket : this.mqtt;
    if (code !== undefined) {
      throw new AgentError(code, code.endsWith("untrusted") ? "operator" : "retry", `it failed: ${code}`);
    }
    this.last = new FakeLink();
    return { status: "open", link: this.last };
  }
}
