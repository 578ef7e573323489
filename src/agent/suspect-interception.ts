import { connectCodes } from "../mqtt/connect-codes.ts";
import type { LinkOptions, OpenLink } from "../mqtt/link.ts";
import { within } from "../platform/abort.ts";
import type { Random } from "../platform/backoff.ts";
import { AgentError } from "../platform/failure.ts";
import { openSecureSocket } from "../platform/secure-socket.ts";
import type { Clock } from "../platform/time.ts";

/** Another server of the same cloud, which is reached over the same network. */
interface OtherServer {
  readonly host: string;
  readonly port: number;
}

interface Surroundings {
  readonly clock: Clock;
  readonly random: Random;
  /** Undefined where no other is known. */
  readonly otherThan: (host: string) => OtherServer | undefined;
}

/** What a server says, or whoever stands before it. Not that its certificate is not valid now: that is asked of our own clock first. */
const doubtful: ReadonlySet<string> = new Set([
  "mqtt/tls-untrusted",
  "mqtt/tls-wrong-name",
  "mqtt/tls-intercepted",
]);

const patienceMs = 10_000;

/** Somebody may be about to log in to the portal; later it is more likely that nobody is. */
const soon = { forMs: 20 * 60_000, leastMs: 30_000 };
const laterMs = 5 * 60_000;

/**
 * Where a server does not prove its name, asks another one for comparison: if that one does not either, the network is to blame (a
 * captive portal, a proxy that intercepts TLS) and is tried again before long; else it is this server. Nothing is shown to either.
 */
export function suspectInterception(openLink: OpenLink, around: Surroundings): OpenLink {
  let suspectedSince: number | undefined;
  return async (options, signal) => {
    try {
      const result = await openLink(options, signal);
      suspectedSince = undefined;
      return result;
    } catch (error) {
      signal.throwIfAborted();
      const other = around.otherThan(options.host);
      if (!(error instanceof AgentError) || !doubtful.has(error.code) || other === undefined) throw error;
      const opinion = await askOther(other, options, signal);
      switch (opinion) {
        case "silent":
          throw error;
        case "proven":
          suspectedSince = undefined;
          throw blaming(error, options.host, other);
        case "doubtful":
          suspectedSince ??= around.clock.monotonic();
          throw intercepted(error, [options.host, other.host], retryAfterMs(suspectedSince, around));
      }
    }
  };
}

async function askOther(
  { host, port }: OtherServer,
  { trustedRoots, proxy, names }: LinkOptions,
  signal: AbortSignal,
): Promise<"proven" | "doubtful" | "silent"> {
  const giveUp = new AbortController();
  const way = { ...(proxy !== undefined && { proxy }), ...(names !== undefined && { names }) };
  const late = () => new AgentError("mqtt/connect-timeout", "retry", `${host} did not answer`);
  const opening = openSecureSocket(
    { host, port, trustedRoots, ...way },
    { codes: connectCodes, host, port },
    giveUp.signal,
  );
  try {
    (await within(patienceMs, late, opening, signal)).destroy();
    return "proven";
  } catch (error) {
    giveUp.abort(error);
    signal.throwIfAborted();
    if (!(error instanceof AgentError)) throw error;
    return doubtful.has(error.code) ? "doubtful" : "silent";
  }
}

function retryAfterMs(since: number, { clock, random }: Surroundings): number {
  const leastMs = clock.monotonic() - since < soon.forMs ? soon.leastMs : laterMs;
  // The journey adds up to a fifth.
  return Math.round(leastMs * (1 + 0.6 * random()));
}

function blaming(error: AgentError, host: string, other: OtherServer): AgentError {
  const message = `${error.message}. ${other.host} proves its name over the same network, so it is ${host} that is to be looked at`;
  return new AgentError(error.code, error.remedy, message, { cause: error });
}

function intercepted(cause: AgentError, hosts: readonly string[], afterMs: number): AgentError {
  return new AgentError(
    "mqtt/network-intercepted",
    "retry",
    `a captive portal or TLS interception is suspected: neither ${hosts.join(" nor ")} proves its name in this network (${cause.message}). ` +
      "Log in to the network; if TLS is intercepted on purpose, name its authority in [tls] trust_bundle",
    { cause, retryAfterMs: afterMs },
  );
}
