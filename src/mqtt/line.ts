import { AgentError } from "../platform/failure.ts";
import type { Log } from "../platform/log.ts";
import type { Store } from "../platform/store.ts";
import type { Clock } from "../platform/time.ts";
import {
  isBlocked,
  longer,
  recall,
  remember,
  shorter,
  type LineMemory,
  type NetworkMemory,
} from "./line-memory.ts";
import type { ConnectResult, Link, LinkOptions, OpenLink, Transport } from "./link.ts";

type Way = Exclude<Transport, "auto">;

interface LineParts {
  readonly openLink: OpenLink;
  readonly memory: Store<LineMemory>;
  readonly clock: Clock;
  readonly log: Log;
  /** Names the network that the device is in now. */
  readonly network: () => string;
  /** The bounds within which the keep-alive is adapted. */
  readonly keepAlive: { readonly leastMs: number; readonly mostMs: number };
}

/** What a firewall that closes a port looks like, by code. */
const blockedCodes: ReadonlySet<string> = new Set([
  "mqtt/unreachable",
  "mqtt/connect-timeout",
  "mqtt/closed-early",
  "mqtt/tls-intercepted",
  "mqtt/websocket-refused",
  "platform/proxy-failed",
]);

/** A proxy that says so need not be asked twice. */
const forbiddenCode = "platform/proxy-forbids";

/** So many failures in a row may be an accident; at the next one the other way is tried too. */
const accidents = 1;

/** For the daily look whether the blocked port is open again: nobody should wait long for it. */
const retryTimeoutMs = 10_000;

/** An attempt that is no older began when the change was already under way. */
const freshMs = 2_000;

/** For the answer to a probe, and a little more. */
const probedMs = 6_000;

/** Who is back so soon lost a line, and not the network. */
const backSoonMs = 3 * 60_000;

/**
 * Opens links as the network allows: over WebSocket where MQTT over TLS is blocked and the operator left the choice, and with a
 * keep-alive that connections survive. Learns both from what happens, network by network, and remembers.
 *
 * A transport that the operator named is the only one tried.
 */
export class Line {
  readonly #parts: LineParts;
  #memory: LineMemory | undefined;
  /** Failures in a row that look like a blocked port, by server. */
  readonly #failures = new Map<string, number>();
  readonly #links = new Set<Link>();
  /** Attempts under way, with when they began. */
  readonly #attempts = new Map<AbortController, number>();
  #remark: string | undefined;
  #probedAt = Number.NEGATIVE_INFINITY;
  #death: { readonly network: string; readonly keepAliveMs: number; readonly at: number } | undefined;

  constructor(parts: LineParts) {
    this.#parts = parts;
  }

  /** See `OpenLink`. */
  readonly open: OpenLink = async (options, signal) => {
    const network = this.#parts.network();
    const adapted = this.#adapted(network);
    const keepAliveMs = Math.min(options.keepAliveMs, adapted.keepAlive?.ms ?? options.keepAliveMs);
    const result = await this.#attempt(signal, async (during) =>
      this.#openSomehow({ ...options, keepAliveMs }, network, during),
    );
    if (result.status === "open") await this.#opened(result.link, keepAliveMs, adapted);
    return result;
  };

  /** What a person should know about how the last link was opened; undefined where nothing is special. */
  get remark(): string | undefined {
    return this.#remark;
  }

  /** Whether a line is open, or about to be. */
  get isBusy(): boolean {
    return this.#links.size > 0 || this.#attempts.size > 0;
  }

  /** Ends attempts that may have been made over a network that is gone. */
  abandon(because: string): void {
    const now = this.#parts.clock.monotonic();
    for (const [attempt, startedAt] of this.#attempts) {
      if (now - startedAt < freshMs) continue;
      const message = `given up to connect once more: the network changed meanwhile (${because})`;
      attempt.abort(new AgentError("mqtt/network-changed", "retry", message));
    }
  }

  /** Asks each open line whether it is still there. @returns when each has answered or is lost: true where one answered. */
  async probe(signal: AbortSignal): Promise<boolean> {
    const links = [...this.#links];
    this.#probedAt = this.#parts.clock.monotonic();
    for (const link of links) link.probe();
    const ends = AbortSignal.any([signal, ...links.map(({ lost }) => lost)]);
    if (links.length > 0) await this.#parts.clock.sleep(probedMs, ends).catch(() => undefined);
    signal.throwIfAborted();
    return links.some((link) => this.#links.has(link));
  }

  async #attempt<T>(signal: AbortSignal, work: (during: AbortSignal) => Promise<T>): Promise<T> {
    const attempt = new AbortController();
    this.#attempts.set(attempt, this.#parts.clock.monotonic());
    try {
      return await work(AbortSignal.any([signal, attempt.signal]));
    } finally {
      this.#attempts.delete(attempt);
    }
  }

  async #openSomehow(options: LinkOptions, network: string, signal: AbortSignal): Promise<ConnectResult> {
    const { openLink, clock } = this.#parts;
    const { transport = "mqtt" } = options;
    if (transport !== "auto") return openLink(options, signal);
    const known = recall(this.#remembered, network);
    const isRetry = known.blockedAtMs !== undefined && !isBlocked(known, clock.now());
    const first: Way = known.blockedAtMs === undefined || isRetry ? "mqtt" : "websocket";
    const connectTimeoutMs = isRetry ? retryTimeoutMs : options.connectTimeoutMs;
    try {
      const result = await openLink({ ...options, transport: first, connectTimeoutMs }, signal);
      this.#failures.delete(options.host);
      await this.#learn(known, first);
      return result;
    } catch (error) {
      signal.throwIfAborted();
      if (!this.#isTimeForTheOther(options.host, error, isRetry)) throw error;
      return this.#openOther(options, known, { first, error }, signal);
    }
  }

  /** Where the other way fails as well, the network is to blame and not a firewall: that says nothing about ports. */
  async #openOther(
    options: LinkOptions,
    known: NetworkMemory,
    { first, error }: { readonly first: Way; readonly error: unknown },
    signal: AbortSignal,
  ): Promise<ConnectResult> {
    const { openLink, log } = this.#parts;
    const transport: Way = first === "mqtt" ? "websocket" : "mqtt";
    log.notice("line.way-changed", { server: options.host, from: first, to: transport, error });
    try {
      const result = await openLink({ ...options, transport }, signal);
      await this.#learn(known, transport);
      return result;
    } catch (second) {
      signal.throwIfAborted();
      if (!(second instanceof AgentError) || second.remedy !== "retry") throw second;
      log.info("line.way-closed", { server: options.host, over: transport, error: second });
      throw error;
    } finally {
      this.#failures.delete(options.host);
    }
  }

  #isTimeForTheOther(host: string, error: unknown, isRetry: boolean): boolean {
    if (!(error instanceof AgentError)) return false;
    if (error.code === forbiddenCode) return true;
    if (!blockedCodes.has(error.code)) return false;
    const failures = (this.#failures.get(host) ?? 0) + 1;
    this.#failures.set(host, failures);
    return isRetry || failures > accidents;
  }

  async #learn(known: NetworkMemory, got: Way): Promise<void> {
    const { blockedAtMs, ...rest } = known;
    this.#remark =
      got === "mqtt"
        ? undefined
        : `MQTT over TLS does not get through this network (${known.network}), so it goes over WebSocket; the other way is tried again daily`;
    const nowMs = this.#parts.clock.now();
    if (got === "mqtt" && blockedAtMs !== undefined) await this.#keep(rest);
    // A day anew only when the port was really tried, so that nothing is written while all goes on as it was.
    if (got === "websocket" && !isBlocked(known, nowMs)) await this.#keep({ ...rest, blockedAtMs: nowMs });
  }

  /** What is known about the network, with the keep-alive that experience suggests. */
  #adapted(network: string): NetworkMemory {
    const { clock, keepAlive } = this.#parts;
    const known = recall(this.#remembered, network);
    const death = this.#deathOn(network);
    return death === undefined
      ? longer(known, keepAlive.mostMs, clock.now())
      : shorter(known, death.keepAliveMs, keepAlive, clock.now());
  }

  async #opened(link: Link, keepAliveMs: number, { network, keepAlive }: NetworkMemory): Promise<void> {
    this.#links.add(link);
    link.lost.addEventListener("abort", () => this.#ended(link, keepAliveMs, network), { once: true });
    this.#death = undefined;
    const { keepAlive: before, ...known } = recall(this.#remembered, network);
    if (keepAlive === before) return;
    const { log, keepAlive: bounds } = this.#parts;
    if (keepAlive?.ms !== before?.ms)
      log.notice("line.keep-alive-adapted", { network, ms: keepAlive?.ms ?? bounds.mostMs });
    await this.#keep({ ...known, ...(keepAlive !== undefined && { keepAlive }) });
  }

  #ended(link: Link, keepAliveMs: number, network: string): void {
    this.#links.delete(link);
    const at = this.#parts.clock.monotonic();
    const reason: unknown = link.lost.reason;
    const isSilent = reason instanceof AgentError && reason.code === "mqtt/line-dead";
    // A probe is sent where the network changed: that the line died of it says nothing of its patience.
    if (isSilent && at - this.#probedAt > probedMs) this.#death = { network, keepAliveMs, at };
  }

  /** The silence killed the line, and no dead network, only if the device is back on the same network soon. */
  #deathOn(network: string): { readonly keepAliveMs: number } | undefined {
    const death = this.#death;
    this.#death = undefined;
    const isBackSoon = death?.network === network && this.#parts.clock.monotonic() - death.at < backSoonMs;
    return isBackSoon ? death : undefined;
  }

  get #remembered(): LineMemory {
    this.#memory ??= this.#parts.memory.read() ?? [];
    return this.#memory;
  }

  async #keep(entry: NetworkMemory): Promise<void> {
    this.#memory = remember(this.#remembered, entry);
    await this.#parts.memory.write(this.#memory);
  }
}
