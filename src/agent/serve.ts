import { sharedAccessSignature } from "../identity/sas.ts";
import { openSession, type Session } from "../hub/session.ts";
import { hubResource, hubUsername } from "../hub/wire.ts";
import { AgentError } from "../platform/failure.ts";
import { fingerprint, differences } from "../provisioning/assignment.ts";
import { withAccepted } from "../provisioning/stored-assignments.ts";
import { Alarm } from "./alarm.ts";
import type { Device } from "./device.ts";
import { followTwin } from "./follow-twin.ts";
import type { Parts } from "./parts.ts";
import type { Phase } from "./phase.ts";

type Online = Extract<Phase, { at: "online" }>;

/** Where in its life a token is renewed, drawn anew each time so that a fleet does not renew at one moment. */
const renewFrom = 0.75;
const renewSpan = 0.1;

/** What commands may take that are under way when the session has to be left. */
const longestWorkMs = 20 * 60_000;

export interface Ended {
  readonly next: Phase;
  readonly because: "token renewal" | "DPS due";
}

interface Serving {
  readonly phase: Online;
  readonly parts: Parts;
  readonly device: Device;
  /** Called when the hub has accepted us, before anything else happens. */
  readonly onAccepted: () => void;
}

/**
 * Serves one session with the assigned hub until it has to be left: for a new token, or for DPS.
 * @throws AgentError as the hub room; `identity/changed` (reidentify) when the credential is no longer the one that the
 *   assignment was made from.
 */
export async function serve(
  { phase, parts, device, onAccepted }: Serving,
  signal: AbortSignal,
): Promise<Ended> {
  const { config, clock, random } = parts;
  const lifetimeMs = config.hub.tokenLifetimeMs;
  const renewAfterMs = lifetimeMs * (renewFrom + renewSpan * random());
  const isAskDue = phase.askDpsAfterMs !== undefined && phase.askDpsAfterMs < renewAfterMs;
  const leaveAfterMs = isAskDue ? phase.askDpsAfterMs : renewAfterMs;

  const startedAt = clock.monotonic();
  await using session = await connect(phase, parts, signal);
  const { hub, deviceId } = phase.assignment;
  parts.log.notice("hub.connected", { hub, deviceId, tookMs: Math.round(clock.monotonic() - startedAt) });
  onAccepted();
  await promote(phase, parts);

  using leave = new Alarm(clock, leaveAfterMs);
  parts.expectProgress(leaveAfterMs + longestWorkMs);
  await followTwin({ session, device, phase, parts, leave: leave.signal }, signal);
  if (isAskDue) {
    const because = "the previous registration attempt failed; the old hub serves meanwhile";
    return {
      because: "DPS due",
      next: { at: "provisioning", identity: phase.identity, because, fallback: phase.assignment },
    };
  }
  const { askDpsAfterMs, ...rest } = phase;
  const owed = askDpsAfterMs === undefined ? {} : { askDpsAfterMs: askDpsAfterMs - leaveAfterMs };
  return { because: "token renewal", next: { ...rest, ...owed } };
}

async function connect(phase: Online, parts: Parts, signal: AbortSignal): Promise<Session> {
  const { config, clock } = parts;
  const { hub, deviceId } = phase.assignment;
  await using open = await parts.openIdentity(signal);
  assertSameIdentity(phase, parts, open.identity);
  const expiresAtMs = clock.now() + config.hub.tokenLifetimeMs;
  return await openSession(
    parts.openLink,
    {
      hub,
      port: config.hub.port,
      trustedRoots: await parts.trustedRoots(),
      deviceId,
      username: hubUsername(hub, deviceId, config.hub.apiVersion, `latebind/${parts.version}`),
      password: await sharedAccessSignature(
        open.key,
        hubResource(hub, deviceId),
        expiresAtMs,
        undefined,
        signal,
      ),
      keepAliveMs: config.hub.keepAliveMs,
    },
    signal,
  );
}

/** The key is opened for each session; if it was exchanged meanwhile, the assignment has to be looked at again. */
function assertSameIdentity(phase: Online, { config }: Parts, identity: Online["identity"]): void {
  const facts = (of: Online["identity"]) => fingerprint(config.idScope, config.provisioning.endpoint, of);
  const changed = differences(facts(phase.identity), facts(identity));
  if (changed.length > 0) {
    throw new AgentError(
      "identity/changed",
      "reidentify",
      `the device's ${changed.join(", ")} changed while running`,
    );
  }
}

async function promote({ assignment }: Online, { assignments, log }: Parts): Promise<void> {
  try {
    await assignments.write(withAccepted(assignments.read() ?? {}, assignment));
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    log.error("agent.state-not-written", { error });
  }
}
