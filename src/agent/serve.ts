import type { Identity } from "../identity/identity.ts";
import { openSession, type Session } from "../hub/session.ts";
import { hubUsername } from "../hub/wire.ts";
import { backoff } from "../platform/backoff.ts";
import { withAccepted } from "../provisioning/stored-assignments.ts";
import { askDpsNow } from "./ask-dps-now.ts";
import { Attendance } from "./attendance.ts";
import type { Device } from "./device.ts";
import { followTwin, type Following, type Standing } from "./follow-twin.ts";
import { assertSameIdentity, lookAgain, proveToHub } from "./hub-credential.ts";
import { InputAlarm } from "./input-alarm.ts";
import type { InputEvent, InputKind } from "./inputs.ts";
import type { Parts } from "./parts.ts";
import type { Online, Phase } from "./phase.ts";

/** Where in its life a token is renewed, drawn anew each time so that a fleet does not renew at one moment. */
const renewFrom = 0.75;
const renewSpan = 0.1;

/** How often a session that needs no token looks whether its certificate was exchanged or comes to its end. */
const lookEveryMs = 6 * 60 * 60_000;

/** When to look again at a credential that failed, while the session it opened still holds. */
const lookLadder = { firstMs: 10_000, capMs: 5 * 60_000 };

/** What commands may take that are under way when the session has to be left. */
const longestWorkMs = 20 * 60_000;

/** A machine that wakes or finds another way out is not alone in it: the reconnect is drawn from this time. */
const reconnectSpanMs = 5_000;

/** What a session can be left for. */
const heeded = [
  "restart",
  "reprovision",
  "credential-changed",
  "clock-changed",
  "network-changed",
  "resumed",
] as const;

export interface Ended {
  readonly next: Phase;
  readonly because: "token renewal" | "DPS due" | InputKind;
  /** How long to wait before the next step. */
  readonly afterMs?: number;
}

interface Serving {
  readonly phase: Online;
  readonly parts: Parts;
  readonly device: Device;
  /** Called when the hub has accepted us, before anything else happens; it may only serve until DPS has answered. */
  readonly onAccepted: (isFallback: boolean) => Promise<void>;
  /** Agent time. */
  readonly now: () => number;
}

/**
 * Serves one session with the assigned hub until it has to be left: for a new token, or for DPS.
 *
 * A credential that fails later on, say with its token unplugged, costs no session: status tells, and it is looked at again.
 * @throws AgentError as the hub room; `identity/changed` (reidentify) when the credential is no longer the one that the
 *   assignment was made from.
 */
export async function serve(serving: Serving, signal: AbortSignal): Promise<Ended> {
  const { parts, onAccepted } = serving;
  const { clock, log } = parts;
  const phase = onceAccepted(serving.phase);
  const startedAt = clock.monotonic();
  const { session: opened, standing } = await connect(phase, parts, signal);
  await using session = opened;
  const { hub, deviceId } = phase.assignment;
  log.notice("hub.connected", { hub, deviceId, tookMs: Math.round(clock.monotonic() - startedAt) });
  await onAccepted(phase.owedDps !== undefined);
  await promote(phase, parts);
  return await stay({ ...serving, phase }, session, standing, signal);
}

/** A hub that serves after all settles what DPS was to be asked for its sake. */
function onceAccepted(phase: Online): Online {
  if (phase.owedDps?.claim !== "until-accepted") return phase;
  const { owedDps: _settled, ...rest } = phase;
  return rest;
}

async function stay(
  { phase, parts, device, now }: Serving,
  session: Session,
  first: Standing,
  signal: AbortSignal,
): Promise<Ended> {
  using attendance = new Attendance(session, parts);
  const { identity } = first;
  let standing = first;
  let lookAfterMs = firstLookAfterMs(identity, parts);
  for (let failures = 0; ;) {
    const askDpsInMs = phase.owedDps === undefined ? Infinity : Math.max(0, phase.owedDps.atMs - now());
    const leaveAfterMs = Math.min(lookAfterMs, askDpsInMs);
    using leave = new InputAlarm(parts.inputs, leaveAfterMs, heeded);
    parts.expectProgress(leaveAfterMs + longestWorkMs);
    await follow({ session, device, phase, parts, standing, attendance, leave: leave.signal }, leave, signal);
    const wanted = leave.input === undefined ? undefined : heed(leave.input, phase, parts);
    if (wanted !== undefined) return wanted;
    if (leave.input === undefined && askDpsInMs <= lookAfterMs) return askDps(phase);
    standing = await lookAgain(phase, parts, standing.identity, signal);
    failures = standing.trouble === undefined ? 0 : failures + 1;
    if (failures === 0 && identity.attestation !== "x509") {
      return { because: "token renewal", next: phase };
    }
    lookAfterMs = failures === 0 ? lookEveryMs : backoff(lookLadder, failures, parts.random);
  }
}

/** A session that breaks in the moment of an input must not swallow it. */
async function follow(following: Following, leave: InputAlarm, signal: AbortSignal): Promise<void> {
  try {
    await followTwin(following, signal);
  } catch (error) {
    if (leave.input !== undefined) following.parts.inputs.tell(leave.input);
    throw error;
  }
}

/** What an input makes of a session; undefined where the session stays and only the credential is looked at again. */
function heed({ kind, because }: InputEvent, phase: Online, { random }: Parts): Ended | undefined {
  switch (kind) {
    case "restart":
      return { because: kind, next: { at: "identifying" } };
    case "reprovision":
      return { because: kind, next: askDpsNow(phase, because) };
    case "network-changed":
    case "resumed":
      return { because: kind, next: phase, afterMs: Math.round(reconnectSpanMs * random()) };
    case "credential-changed":
    case "clock-changed":
    case "apply-now":
      return undefined;
  }
}

function firstLookAfterMs({ attestation }: Identity, { config, random }: Parts): number {
  switch (attestation) {
    case "symmetric-key":
    case "tpm":
      return config.hub.tokenLifetimeMs * (renewFrom + renewSpan * random());
    case "x509":
      return lookEveryMs;
  }
}

function askDps({ identity, assignment, owedDps }: Online): Ended {
  const { because = "DPS was still to be asked", claim = "standing" } = owedDps ?? {};
  return { because: "DPS due", next: { at: "provisioning", identity, because, claim, fallback: assignment } };
}

async function connect(
  phase: Online,
  parts: Parts,
  signal: AbortSignal,
): Promise<{ readonly session: Session; readonly standing: Standing }> {
  const { port, transport, webSocketPort, apiVersion } = parts.config.hub;
  const keepAliveMs = parts.keepAliveMs();
  const { hub, deviceId } = phase.assignment;
  await using open = await parts.openIdentity(signal);
  assertSameIdentity(phase, parts, open.identity);
  const username = hubUsername(hub, deviceId, apiVersion, `latebind/${parts.version}`);
  const { proof, tookMs } = await proveToHub(open.credential, phase, parts, signal);
  const trustedRoots = await parts.trustedRoots();
  const way = { port, transport, webSocketPort, keepAliveMs };
  const to = { hub, ...way, ...(await parts.through()), trustedRoots, deviceId, username, ...proof };
  const session = await openSession(parts.openLink, to, signal);
  return { session, standing: { identity: open.identity, provenInMs: tookMs } };
}

async function promote({ assignment }: Online, { assignments, journal }: Parts): Promise<void> {
  const before = assignments.read() ?? {};
  const after = withAccepted(before, assignment);
  await assignments.write(after);
  const dropped = before.current;
  if (dropped !== undefined && dropped.hub !== after.current?.hub)
    journal.write({ kind: "dropped", hub: dropped.hub });
}
