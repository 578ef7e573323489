import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { describeNetwork } from "./network.ts";
import { commandEnvironment } from "./run-command.ts";
import type { Clock } from "./time.ts";

/** What matters of the machine's network, as plain data. */
export interface NetworkState {
  /** As `describeNetwork` names it. */
  readonly network: string;
  /** `eth0 10.0.0.7`, those that others can reach. */
  readonly addresses: readonly string[];
  /** How long the machine has slept since it was booted. */
  readonly sleptMs: number;
}

export interface NetworkEvent {
  readonly kind: "network-changed" | "resumed";
  /** For a person: `10.0.0.7 on eth0 is new`. */
  readonly because: string;
}

/** A change comes in several steps: link, address, route. */
const settleMs = 1_000;

/** The start of the agent comes first. */
const startMs = 2_000;

/** What ended on its own is started again, but not in a loop. */
const restartMs = 10 * 60_000;

/** /proc/uptime counts hundredths of a second. */
const sleepMs = 2_000;

/**
 * Notices that the machine has another network, or slept. Looks when it is told to, and at once when the kernel says something.
 *
 * Node cannot listen to netlink (rtnetlink(7)); `ip monitor` can, and costs 230 KB and no processor time. Without it what
 * changed is noticed by the next look.
 */
export class NetworkWatch {
  readonly #clock: Clock;
  readonly #read: () => NetworkState;
  readonly #onEvent: (event: NetworkEvent) => void;
  /** As it was at the last look; the first one has nothing to compare with. */
  #state: NetworkState | undefined;

  constructor(clock: Clock, onEvent: (event: NetworkEvent) => void, read = () => readNetworkState(clock)) {
    this.#clock = clock;
    this.#read = read;
    this.#onEvent = onEvent;
  }

  /** Compares now. */
  look(): void {
    const was = this.#state;
    const is = this.#read();
    this.#state = is;
    if (was === undefined) return;
    const because = difference(was, is);
    if (is.sleptMs - was.sleptMs > sleepMs) {
      const seconds = Math.round((is.sleptMs - was.sleptMs) / 1000);
      this.#onEvent({ kind: "resumed", because: `the machine slept for ${seconds} s` });
    } else if (because !== undefined) this.#onEvent({ kind: "network-changed", because });
  }

  /** Listens to the kernel until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      for (let waitMs = startMs; ; waitMs = restartMs) {
        await this.#clock.sleep(waitMs, signal);
        this.look();
        await this.#listen(signal);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** Resolves when the listener has ended, for whatever reason. */
  async #listen(signal: AbortSignal): Promise<void> {
    const listener = spawn("ip", ["monitor", "address", "route"], {
      env: commandEnvironment,
      stdio: ["ignore", "pipe", "ignore"],
      signal,
    });
    const ended = new Promise<void>((resolve) => {
      listener.once("close", () => resolve());
      listener.once("error", () => resolve());
    });
    let settling: Promise<void> | undefined;
    listener.stdout.on("data", () => {
      settling ??= this.#settle(signal).finally(() => {
        settling = undefined;
      });
    });
    await ended;
  }

  async #settle(signal: AbortSignal): Promise<void> {
    try {
      await this.#clock.sleep(settleMs, signal);
    } catch {
      // Told to stop.
      return;
    }
    this.look();
  }
}

/** Undefined where nothing differs. */
function difference(was: NetworkState, is: NetworkState): string | undefined {
  if (was.network !== is.network) return `${is.network} in place of ${was.network}`;
  const fresh = is.addresses.filter((address) => !was.addresses.includes(address));
  const gone = was.addresses.filter((address) => !is.addresses.includes(address));
  const says = [...fresh.map((one) => `${words(one)} is new`), ...gone.map((one) => `${words(one)} is gone`)];
  return says.length === 0 ? undefined : says.join(", ");
}

function words(address: string): string {
  return address.replace(/^(\S+) (.*)$/, "$2 on $1");
}

function readNetworkState(clock: Clock): NetworkState {
  return { network: describeNetwork(), addresses: addresses(), sleptMs: uptimeMs() - clock.monotonic() };
}

/** Those of one link alone (fe80::/10) come and go with it, and no server is reached from there. */
function addresses(): readonly string[] {
  return Object.entries(interfaces())
    .flatMap(([name, all = []]) =>
      all
        .filter(({ internal, address }) => !internal && !/^fe[89ab]/i.test(address))
        .map(({ address }) => `${name} ${address}`),
    )
    .toSorted();
}

/** A sandbox may forbid to ask. */
function interfaces(): ReturnType<typeof networkInterfaces> {
  try {
    return networkInterfaces();
  } catch {
    return {};
  }
}

/** proc_uptime(5): with the time that was slept through, which the monotonic clock leaves out. */
function uptimeMs(): number {
  return Number.parseFloat(readFileSync("/proc/uptime", "utf8")) * 1000;
}
