import { backoff, type Ladder, type Random } from "../platform/backoff.ts";
import type { AgentError } from "../platform/failure.ts";
import type { History, HubHistory } from "./history.ts";

interface Moment {
  readonly refusalRetryMs: number;
  readonly random: Random;
}

const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;

export const ladders = {
  /** A network that comes back, or a hub that restarts. */
  hub: { firstMs: second, capMs: minute },
  /** The hub gave its verdict on us; it is tried all the same, in turn with DPS. */
  refused: { firstMs: 5 * minute, capMs: 6 * hour },
  /** DPS is there but cannot answer. */
  dps: { firstMs: 5 * second, capMs: 10 * minute },
  /** DPS cannot be reached at all, and nothing serves meanwhile: an attempt costs next to nothing. */
  dpsAway: { firstMs: 2 * second, capMs: 2 * minute },
  /** DPS could not assign a hub: a matter of its settings. */
  failed: { firstMs: 30 * second, capMs: hour },
  /** DPS answers, but the hub it names refuses us: asking sooner changes nothing. */
  sameAnswer: { firstMs: 5 * minute, capMs: 6 * hour },
  /** A person has to act: slow probing, never a dead stop. */
  hold: { firstMs: 15 * minute, capMs: 6 * hour },
  /** Keys and certificates on this machine: a look costs nothing on the wire. */
  local: { firstMs: 10 * second, capMs: 10 * minute },
} as const satisfies Readonly<Record<string, Ladder>>;

/**
 * A hub that closes all its connections gets them back in one moment, if the first wait is short: so it is drawn from 1 s to 8 s. Where
 * it was our own network, its return ends the wait.
 */
const hubHeadStart = 2;

/** A device that is disabled in DPS on purpose is enabled by somebody who will want to see it: about every hour. */
const disabledFromMs = 45 * minute;
const disabledSpanMs = 30 * minute;

/** Several sessions in a row were cut short, see `countFailure`: whoever waits longer leaves the line to the other. */
const duplicate: Ladder = { firstMs: 2 * minute, capMs: 30 * minute };

/** How long after a failure DPS may be asked again. `history` has counted it. */
export function dpsDelayMs(
  error: AgentError,
  { dps }: History,
  moment: Moment,
  hasFallback: boolean,
): number {
  const { random } = moment;
  const times = dps.streak?.times ?? 1;
  if (error.code === "provisioning/disabled")
    return spreadMs(error, disabledFromMs + disabledSpanMs * random(), moment);
  if (error.code === "provisioning/failed")
    return spreadMs(error, backoff(ladders.failed, times, random), moment);
  if (error.remedy === "operator") return spreadMs(error, holdMs(error, times, moment), moment);
  const isAway = !hasFallback && /\/(?:name-not-found|unreachable|connect-timeout)$/.test(error.code);
  return spreadMs(
    error,
    isAway ? backoff(ladders.dpsAway, dps.failures, random) : backoff(ladders.dps, dps.failures, random),
    moment,
  );
}

/** How long after a failure that is no verdict the same hub is tried again. */
export function hubDelayMs(error: AgentError, hub: HubHistory, moment: Moment): number {
  if (error.code === duplicateSuspected)
    return spreadMs(error, backoff(duplicate, Math.max(1, hub.suspicions), moment.random), moment);
  if (isRefusal(error)) return spreadMs(error, onceMoreMs(moment), moment);
  if (error.remedy === "operator")
    return spreadMs(error, holdMs(error, hub.streak?.times ?? 1, moment), moment);
  return spreadMs(error, backoff(ladders.hub, hub.failures + hubHeadStart, moment.random), moment);
}

export const duplicateSuspected = "hub/duplicate-identity-suspected";

/**
 * Whether a hub means us, and not the line. What a hub does not like about a certificate it may say in TLS already, on TLS 1.3 after
 * the handshake.
 */
export function isRefusal({ code, remedy }: AgentError): boolean {
  return remedy === "reprovision" || code === "mqtt/certificate-refused";
}

/** The other side's own wish is a floor that no cap lowers; all who heard it must not come back at one moment. */
export function spreadMs({ retryAfterMs = 0 }: AgentError, delayMs: number, { random }: Moment): number {
  return Math.round(Math.max(delayMs, retryAfterMs * (1 + 0.2 * random())));
}

const holdOnceMoreMs = 30 * second;

/** The first time may be a service that is not yet in step with itself: once more soon, then slowly. */
function holdMs({ code }: AgentError, times: number, moment: Moment): number {
  if (code.startsWith("identity/")) return backoff(ladders.local, times, moment.random);
  return times <= 1
    ? holdOnceMoreMs * (1 + moment.random())
    : backoff(ladders.hold, times - 1, moment.random);
}

function onceMoreMs({ refusalRetryMs, random }: Moment): number {
  return Math.round(refusalRetryMs * (1 + random()));
}
