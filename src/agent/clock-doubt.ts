import { AgentError } from "../platform/failure.ts";
import { clockOpinion, day, type ClockOpinion } from "./clock-opinion.ts";
import { lengthWords } from "./length-words.ts";
import type { Parts } from "./parts.ts";
import type { Phase } from "./phase.ts";

/** Failures by a certificate's dates: only a right clock mends them, or a new certificate. */
const byDates: ReadonlySet<string> = new Set([
  "mqtt/tls-validity",
  "provisioning/tls-validity",
  "identity/certificate-expired",
  "identity/certificate-not-yet-valid",
]);

/** Failures that a token causes which looks expired to the service: it says the same to a wrong key. */
const byToken: ReadonlySet<string> = new Set(["provisioning/not-accepted", "hub/refused"]);

const codes = {
  identifying: "identity/clock-doubtful",
  provisioning: "provisioning/clock-doubtful",
  online: "hub/clock-doubtful",
} as const;

const heals = "Set the clock or mend NTP; the agent goes on by itself once the clock is right";

/** HTTPS, wherever MQTT goes. */
const httpsPort = 443;

/**
 * Looks whether a failure is the clock's fault, and measures the clock where that is possible.
 *
 * Where a certificate's dates are in the way, nothing is relaxed: the clock is waited for. Where a token was refused, a server is asked
 * what time it is, and if that is another time than ours, the next token is signed with it.
 * @returns the error to go on with: the same one, or `identity/clock-doubtful`, `provisioning/clock-doubtful`, `hub/clock-doubtful`
 *   (operator where a clock is waited for, retry where the offset was measured).
 */
export async function withClockDoubt(
  error: unknown,
  phase: Phase,
  parts: Parts,
  signal: AbortSignal,
): Promise<unknown> {
  if (!(error instanceof AgentError) || signal.aborted) return error;
  if (byDates.has(error.code)) return afterDates(error, phase, parts, signal);
  const isRefusal = byToken.has(error.code) || isRefusalOverHttps(error, parts);
  return isRefusal && usesTokens(phase) ? afterRefusal(error, phase, parts, signal) : error;
}

/** A certificate is held against the service's clock, not ours. */
function usesTokens(phase: Phase): boolean {
  return phase.at !== "identifying" && phase.identity.attestation !== "x509";
}

/** Over HTTPS there is no CONNECT: there DPS says of an expired token what it says of a wrong key. */
function isRefusalOverHttps({ code }: AgentError, { config }: Parts): boolean {
  return code === "provisioning/unauthorized" && config.provisioning.transport === "https";
}

async function afterDates(
  error: AgentError,
  { at }: Phase,
  parts: Parts,
  signal: AbortSignal,
): Promise<AgentError> {
  const opinion = await opinionOf(parts, signal);
  if (opinion.status === "trusted") return error;
  // The certificate's end is the likelier reason, as long as nothing but the kernel's word speaks against the clock.
  if (opinion.status === "doubtful" && error.code === "identity/certificate-expired") return error;
  parts.clockWatch.hurry();
  const certificate = at === "identifying" ? "its own certificate" : "the server's certificate";
  const says =
    opinion.status === "wrong"
      ? `this device's clock is wrong: it says ${clockWords(parts)}, ${opinion.because}. No certificate can be checked with it`
      : `this device's clock is in doubt: it says ${clockWords(parts)}, ${opinion.because}. By it ${certificate} does not hold`;
  return new AgentError(codes[at], "operator", `${says}. ${heals}`, { cause: error });
}

async function afterRefusal(
  error: AgentError,
  { at }: Phase,
  parts: Parts,
  signal: AbortSignal,
): Promise<AgentError> {
  // Known since the last jump: the refused token had the right time.
  if (parts.signingTime.isMeasured) return error;
  const who = at === "online" ? "the hub" : "DPS";
  const opinion = await opinionOf(parts, signal);
  if (opinion.status === "trusted" && opinion.isSynchronised) return error;
  if (!(await measure(parts, signal))) {
    if (opinion.status === "trusted") return error;
    parts.clockWatch.hurry();
    const says = `${who} refused the token while this device's clock is in doubt: it says ${clockWords(parts)}, ${opinion.because}, so the token may look expired`;
    return new AgentError(codes[at], "retry", `${says}. ${heals}`, { cause: error });
  }
  const { offsetMs } = parts.signingTime;
  if (offsetMs === 0) return error;
  parts.log.warning("clock.measured", { offMs: Math.round(offsetMs) });
  const off = `${lengthWords(offsetMs)} ${offsetMs > 0 ? "behind" : "ahead of"}`;
  const says = `this device's clock is ${off} the time of ${parts.config.provisioning.endpoint}, and ${who} refused its token; the next one is signed with the server's time`;
  return new AgentError(codes[at], "retry", `${says}. Set the clock or mend NTP`, { cause: error });
}

async function opinionOf(parts: Parts, signal: AbortSignal): Promise<ClockOpinion> {
  const isSynchronised = await parts.isClockSynchronised(signal);
  return clockOpinion({ ...parts.knownTime(), nowMs: parts.clock.now(), isSynchronised });
}

/** @returns false where nobody tells the time. */
async function measure(parts: Parts, signal: AbortSignal): Promise<boolean> {
  const { endpoint, transport, port } = parts.config.provisioning;
  // Needed by a device with a wrong clock alone.
  const { askServerTime } = await import("../provisioning/server-time.ts");
  try {
    const trustedRoots = await parts.trustedRoots();
    const where = { host: endpoint, port: transport === "https" ? port : httpsPort };
    const at = { ...where, ...(await parts.through()), trustedRoots };
    parts.signingTime.learn(await askServerTime(at, signal));
    return true;
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof AgentError)) throw error;
    parts.log.info("clock.not-measured", { error });
    return false;
  }
}

/** 1970-01-01 00:03 UTC */
function clockWords({ clock }: Parts): string {
  const ms = clock.now();
  return `${day(ms)} ${new Date(ms).toISOString().slice(11, 16)} UTC`;
}
