import type { Reconciled } from "../appliers/reconcile.ts";
import type { Session } from "../hub/session.ts";
import type { Identity } from "../identity/identity.ts";
import { backoff } from "../platform/backoff.ts";
import { AgentError } from "../platform/failure.ts";
import type { JsonObject } from "../platform/json.ts";
import type { AgentFacts } from "../report/facts.ts";
import { measureSize } from "../report/measure.ts";
import { wantedReported } from "../report/patch.ts";
import { parseTwin, type Desired } from "../twin/desired.ts";
import type { Attendance } from "./attendance.ts";
import type { Device } from "./device.ts";
import { InputAlarm } from "./input-alarm.ts";
import { mergePatches, NewerDesired } from "./newer-desired.ts";
import type { Parts } from "./parts.ts";
import type { Online } from "./phase.ts";
import type { Told } from "./reporter.ts";

/** How the credential stands behind a session. */
export interface Standing {
  /** As it was when last opened. */
  readonly identity: Identity;
  /** What it took to prove it to the hub, milliseconds. */
  readonly provenInMs?: number;
  /** Why it could not be opened since. */
  readonly trouble?: AgentError;
}

export interface Following {
  readonly session: Session;
  readonly device: Device;
  readonly phase: Online;
  readonly parts: Parts;
  readonly standing: Standing;
  /** What begins once the twin is in force. */
  readonly attendance: Attendance;
  /** Aborted when the session has to be left; work under way is finished first. */
  readonly leave: AbortSignal;
}

/** What failed is tried again on this ladder, while the session lasts. */
const retryLadder = { firstMs: 30_000, capMs: 60 * 60_000 };

/**
 * Keeps the device at what the twin wants, and the twin told of it, until `leave` rings.
 *
 * Desired changes are not queued for a device that is away, so the whole twin is fetched first; what arrived meanwhile is
 * dropped by its version.
 * @throws AgentError whatever ends the session; the signal's reason.
 */
export async function followTwin(following: Following, signal: AbortSignal): Promise<void> {
  const { session, device, parts, leave } = following;
  let twin = await fetchTwin(following, signal);
  let reconciled: Reconciled | undefined;
  let isForced = false;
  for (let failures = 0; ;) {
    if (reconciled === undefined) {
      ({ twin, reconciled } = await applyNewest(following, twin, isForced, signal));
      failures = reconciled.results.some(isTriedAgain) ? failures + 1 : 0;
    }
    const { desired } = twin;
    const told = await tell(following, reconciled, twin.reported, signal);
    twin = { desired, reported: told.reported };
    if (told.againInMs === undefined) parts.desk.programs.settle();
    parts.desk.noteTwin(twin);
    tellHealth(following, desired, reconciled);
    const applyInMs = failures === 0 ? Infinity : backoff(retryLadder, failures, parts.random);
    const wakeInMs = Math.min(applyInMs, told.againInMs ?? Infinity, device.probeInMs(), device.driftInMs());
    following.attendance.begin();
    using alarm = new InputAlarm(parts.inputs, wakeInMs, ["apply-now"]);
    const wakers = [alarm.signal, parts.desk.programs.news()];
    const patches = await waitForPatches(session, wakers, leave, signal);
    if (patches === undefined) return;
    // What local programs have to tell is no reason to try again what failed.
    if (patches.length > 0 || alarm.signal.aborted) reconciled = undefined;
    isForced = alarm.input?.kind === "apply-now";
    const next = device.probeInMs() > 0 ? mergePatches(desired, patches) : undefined;
    twin =
      next === undefined ? await fetchTwin(following, signal) : { desired: next, reported: told.reported };
  }
}

interface Twin {
  readonly desired: Desired;
  readonly reported: JsonObject;
}

/** Applies the desired document, and newer ones that come meanwhile; what they want otherwise is not finished before. */
async function applyNewest(
  following: Following,
  twin: Twin,
  isForced: boolean,
  signal: AbortSignal,
): Promise<{ readonly twin: Twin; readonly reconciled: Reconciled }> {
  const { session, device } = following;
  for (let current = twin; ;) {
    const listening = new NewerDesired(session, current.desired);
    const { superseded } = listening;
    const reconciled = await device.apply(current.desired, signal, { isForced, superseded });
    const newer = await listening.stop();
    signal.throwIfAborted();
    switch (newer.status) {
      case "none":
        return { twin: current, reconciled };
      case "newer":
        current = { ...current, desired: newer.desired };
        break;
      case "missed":
        current = await fetchTwin(following, signal);
    }
  }
}

/** The patches; none when there is something else to do; undefined when the session is to be left. */
async function waitForPatches(
  session: Session,
  wakers: readonly AbortSignal[],
  leave: AbortSignal,
  signal: AbortSignal,
): Promise<readonly unknown[] | undefined> {
  try {
    return await session.desiredPatches(signal, leave, ...wakers);
  } catch (error) {
    if (signal.aborted || session.lost.aborted) throw error;
    if (leave.aborted) return undefined;
    if (wakers.some((waker) => waker.aborted)) return [];
    throw error;
  }
}

/** An answer of the hub also proves changes that were made before it was asked. */
async function fetchTwin({ session, device, parts }: Following, signal: AbortSignal): Promise<Twin> {
  const askedAtMs = parts.clock.monotonic();
  const twin = parseTwin(await session.twin(signal));
  await device.confirm(askedAtMs);
  if (twin.status === "malformed") {
    throw new AgentError(
      "hub/malformed-twin",
      "retry",
      `the hub sent a twin that cannot be read: ${twin.problems.join("; ")}`,
    );
  }
  parts.log.info("twin.fetched", { version: twin.desired.version });
  return twin;
}

/** Reports what differs from what the hub knows. A refused report leaves the session alive. */
async function tell(
  following: Following,
  reconciled: Reconciled,
  reported: JsonObject,
  signal: AbortSignal,
): Promise<Told> {
  const { session, parts } = following;
  const facts = await factsOf(following);
  return parts.desk.reporter.tell(
    session,
    (known, isRefused) => {
      const programs = parts.desk.programs.wanted(known);
      const ours = namesOf(reconciled);
      const others = Object.entries(known).filter(([name]) => !ours.has(name));
      const othersBytes = measureSize({ ...Object.fromEntries(others), ...(programs && { programs }) });
      const wanted = wantedReported(reconciled, facts, { othersBytes, isRefused });
      return programs === undefined ? wanted : { ...wanted, programs };
    },
    reported,
    signal,
  );
}

/** Of what the agent reports; everything else is somebody else's. */
function namesOf({ results, absent }: Reconciled): ReadonlySet<string> {
  return new Set([
    "latebind",
    ...[...results, ...absent].map(({ component, property }) => component ?? property),
  ]);
}

async function factsOf({ phase, parts, standing }: Following): Promise<AgentFacts> {
  const { custody: keyCustody, certificateExpiresAtMs } = standing.identity;
  const { assignedAtMs: provisionedAtMs, because: provisionedBecause } = phase.assignment;
  const { connectedSinceMs } = parts.desk;
  return {
    version: parts.version,
    phase: "online",
    ...parts.lastError(),
    ...(await parts.desk.machine()),
    keyCustody,
    ...(certificateExpiresAtMs !== undefined && { certificateExpiresAtMs }),
    ...(connectedSinceMs !== undefined && { connectedSinceMs }),
    provisionedAtMs,
    ...(provisionedBecause !== undefined && { provisionedBecause }),
  };
}

function tellHealth({ phase, parts, standing }: Following, desired: Desired, reconciled: Reconciled): void {
  const { identity, provenInMs, trouble } = standing;
  const { attestation, certificateExpiresAtMs, warnings } = identity;
  parts.onHealth({
    at: "connected",
    hub: phase.assignment.hub,
    deviceId: phase.assignment.deviceId,
    desiredVersion: desired.version,
    failed: reconciled.results
      .filter(({ outcome }) => outcome.status === "failed" || outcome.status === "rejected")
      .map(({ component, property }) => (component === undefined ? property : `${component}.${property}`)),
    isFallback: phase.owedDps !== undefined,
    ...(certificateExpiresAtMs !== undefined && { certificateExpiresAtMs }),
    ...(attestation === "tpm" && provenInMs !== undefined && { tpmSignsInMs: provenInMs }),
    warnings: [
      ...(trouble === undefined ? [] : [`${trouble.message} [${trouble.code}]`]),
      ...warnings,
      ...parts.desk.limits,
    ],
  });
}

function isTriedAgain({ outcome, isFinal }: Reconciled["results"][number]): boolean {
  return outcome.status === "failed" && isFinal !== true;
}
