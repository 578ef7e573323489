import { lookup as askSystem, type LookupAddress, type LookupOptions } from "node:dns";
import { readFileSync } from "node:fs";
import { systemCode } from "./failure.ts";
import { isJsonObject, type Json } from "./json.ts";
import type { Store } from "./store.ts";
import type { Clock } from "./time.ts";

/** The addresses that a name had when a server last proved to bear it. */
export type KnownAddresses = Readonly<Record<string, readonly string[]>>;

type Done = (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void;

/** After this time of silence a person is told who was asked. */
const namedAfterMs = 10 * 60_000;

/** DPS, the hub, the hub before that, … */
const mostNames = 8;

/**
 * Turns names into addresses as the system does, and remembers those that served. Where DNS does not answer at all they are tried
 * again: a hint and no more, for a server must prove its name whatever its address is.
 */
export class Names {
  readonly #clock: Clock;
  readonly #store: Store<KnownAddresses>;
  readonly #ask: typeof askSystem;
  readonly #resolvConf: string;
  #known: KnownAddresses | undefined;
  /** What DNS said last. */
  readonly #answers = new Map<string, readonly LookupAddress[]>();
  #silentSince: number | undefined;

  constructor(clock: Clock, store: Store<KnownAddresses>, ask = askSystem, resolvConf = "/etc/resolv.conf") {
    this.#clock = clock;
    this.#store = store;
    this.#ask = ask;
    this.#resolvConf = resolvConf;
  }

  /** For `node:net`, which tries every address, of both families in turn. */
  readonly lookup = (name: string, options: LookupOptions, done: Done): void => {
    this.#ask(name, { ...options, all: true }, (error, addresses) => {
      if (error === null) {
        this.#silentSince = undefined;
        this.#answers.set(name, addresses);
        done(null, this.#provenFirst(name, addresses));
        return;
      }
      this.#silentSince ??= this.#clock.monotonic();
      // Who says that there is no such name has answered.
      const hints = systemCode(error) === "EAI_AGAIN" ? this.#hints(name) : [];
      done(hints.length === 0 ? error : null, hints);
    });
  };

  /** A server at this address has proven the name. Written only when DNS has nothing of what is known. */
  async proved(name: string, address: string): Promise<void> {
    const others = (this.#answers.get(name) ?? []).map((one) => one.address).filter((one) => one !== address);
    const fresh = [address, ...others];
    const known = this.#remembered[name] ?? [];
    const isNews = !known.some((one) => fresh.includes(one));
    const { [name]: _old, ...rest } = this.#remembered;
    const next: [string, readonly string[]][] = [[name, fresh], ...Object.entries(rest)];
    const kept: KnownAddresses = Object.fromEntries(next.slice(0, mostNames));
    this.#known = kept;
    if (isNews) await this.#store.write(kept);
  }

  /** What a person should know about DNS, to end a sentence with; "" while there is nothing. */
  trouble(): string {
    if (this.#silentSince === undefined) return "";
    const silentMs = this.#clock.monotonic() - this.#silentSince;
    if (silentMs < namedAfterMs) return "";
    const servers = [...this.#resolvers().matchAll(/^nameserver\s+(\S+)/gm)].map(([, server]) => server);
    const asked = servers.length === 0 ? "no name server is set" : `asked: ${servers.join(", ")}`;
    return `; DNS has failed for ${Math.round(silentMs / 60_000)} min (${asked} in ${this.#resolvConf})`;
  }

  /** Whether addresses from before are used now. */
  isHinted(name: string): boolean {
    return this.#silentSince !== undefined && this.#hints(name).length > 0;
  }

  #hints(name: string): LookupAddress[] {
    return (this.#remembered[name] ?? []).map((address) => ({
      address,
      family: address.includes(":") ? 6 : 4,
    }));
  }

  /** The family that served last goes first: the other one may be dead here. */
  #provenFirst(name: string, addresses: readonly LookupAddress[]): LookupAddress[] {
    const [last] = this.#remembered[name] ?? [];
    const family = last === undefined ? undefined : last.includes(":") ? 6 : 4;
    return addresses.toSorted(
      (one, other) => Number(other.family === family) - Number(one.family === family),
    );
  }

  get #remembered(): KnownAddresses {
    this.#known ??= this.#store.read() ?? {};
    return this.#known;
  }

  #resolvers(): string {
    try {
      return readFileSync(this.#resolvConf, "utf8");
    } catch {
      return "";
    }
  }
}

/** Reads what the store kept; what does not fit is forgotten. */
export function parseKnownAddresses(value: Json): KnownAddresses {
  if (!isJsonObject(value)) return {};
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, addresses]) =>
      Array.isArray(addresses) && addresses.every((one) => typeof one === "string")
        ? [[name, addresses]]
        : [],
    ),
  );
}
