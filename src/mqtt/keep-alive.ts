import type { Clock } from "../platform/time.ts";

/** How long the server may take to answer a ping, where the keep-alive allows for so much: as long as for SUBACK and PUBACK. */
const longestAnswerMs = 30_000;

/** A dead line is noticed within one and a half keep-alives and 10 s; one of these is for timers that come late. */
const graceMs = 9_000;

/** For a ping with a question behind it: is the line still there? */
const probeMs = 5_000;

/** A timer that comes later than this was kept waiting by our own process (busy, stopped, swapped out), not by the line. */
const stalledMs = 1_000;

/** What is known when nothing came back. */
export interface Silence {
  /** Since the last sign of life of the server. */
  readonly silentMs: number;
  /** How long the last ping was waited for. */
  readonly answerMs: number;
}

interface Line {
  readonly keepAliveMs: number;
  readonly clock: Clock;
  /** Sends a PINGREQ. */
  readonly ping: () => void;
  /** How many bytes have come so far: a packet may be long and the line slow. */
  readonly bytesRead: () => number;
  /** Called once at most. */
  readonly onDead: (silence: Silence) => void;
}

/**
 * Keeps one line alive, and notices when it is dead: packets that vanish without a word (a NAT that forgot, a cable, a firewall).
 *
 * Pings after a keep-alive without a word in either direction, and takes the line for dead when nothing at all comes back in
 * time: at the latest one and a half keep-alives and 10 s after the last sign of life. One timer, which runs no oftener than
 * the keep-alive as long as pings are answered. A stall of our own process is no silence of the line.
 * @see MQTT 3.1.1 section 3.1.2.10
 */
export class KeepAlive implements Disposable {
  readonly #line: Line;
  readonly #stop = new AbortController();
  #sentAt: number;
  #heardAt: number;
  #isProbing = false;
  #wake: (() => void) | undefined;
  #isAwaited = false;
  #stall = { ms: 0, at: Number.NEGATIVE_INFINITY };

  constructor(line: Line) {
    this.#line = line;
    this.#sentAt = line.clock.monotonic();
    this.#heardAt = this.#sentAt;
    void this.#keep();
  }

  /** A packet went out. */
  sent(): void {
    this.#sentAt = this.#line.clock.monotonic();
  }

  /** A packet came in. */
  received(): void {
    this.#heardAt = this.#line.clock.monotonic();
    if (this.#isAwaited) this.#wake?.();
  }

  /** Pings now, and waits no longer than 5 s: the network changed, and the line may not have survived it. */
  probe(): void {
    this.#isProbing = true;
    this.#wake?.();
  }

  /** How long our own process stood still within the last two keep-alives, as far as it was noticed: 0 where it did not. */
  get recentStallMs(): number {
    const { clock, keepAliveMs } = this.#line;
    return clock.monotonic() - this.#stall.at <= 2 * keepAliveMs ? this.#stall.ms : 0;
  }

  [Symbol.dispose](): void {
    this.#stop.abort(new Error("the line is closed"));
  }

  async #keep(): Promise<void> {
    try {
      for (;;) {
        await this.#quiet();
        const answerMs = this.#isProbing ? probeMs : this.#patienceMs;
        this.#isProbing = false;
        if (await this.#isAnswered(answerMs)) continue;
        const silentMs = Math.round(this.#line.clock.monotonic() - this.#heardAt);
        this.#line.onDead({ silentMs, answerMs });
        return;
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) throw error;
    }
  }

  /** Resolves when a whole keep-alive has passed without a word out or without a word in, or to probe. */
  async #quiet(): Promise<void> {
    const { clock, keepAliveMs } = this.#line;
    while (!this.#isProbing) {
      const dueAt = Math.min(this.#sentAt, this.#heardAt) + keepAliveMs;
      if (dueAt <= clock.monotonic()) return;
      await this.#nap(dueAt);
    }
  }

  /** Also true where somebody wants to probe meanwhile. */
  async #isAnswered(answerMs: number): Promise<boolean> {
    const { clock, ping, bytesRead } = this.#line;
    let bytes = bytesRead();
    this.#isAwaited = true;
    ping();
    try {
      for (;;) {
        const woken = await this.#nap(clock.monotonic() + answerMs);
        if (woken === "early") return true;
        // What came while we stood still has not been read yet, and a part of a packet is a sign of life too.
        if (woken === "in-time" && bytesRead() === bytes) return false;
        bytes = bytesRead();
      }
    } finally {
      this.#isAwaited = false;
    }
  }

  async #nap(dueAt: number): Promise<"early" | "in-time" | "late"> {
    const { clock } = this.#line;
    const wake = new AbortController();
    this.#wake = () => {
      wake.abort();
    };
    try {
      await clock.sleep(dueAt - clock.monotonic(), AbortSignal.any([this.#stop.signal, wake.signal]));
    } catch (error) {
      if (this.#stop.signal.aborted) throw error;
      return "early";
    } finally {
      this.#wake = undefined;
    }
    const lateMs = clock.monotonic() - dueAt;
    if (lateMs < stalledMs) return "in-time";
    this.#stall = { ms: Math.round(lateMs), at: clock.monotonic() };
    return "late";
  }

  get #patienceMs(): number {
    return Math.min(longestAnswerMs, this.#line.keepAliveMs / 2 + graceMs);
  }
}
