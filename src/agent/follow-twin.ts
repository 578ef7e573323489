import type { Reconciled } from "../appliers/reconcile.ts";
import type { Session } from "../hub/session.ts";
import type { Identity } from "../identity/identity.ts";
import { backoff } from "../platform/backoff.ts";
import { AgentError } from "../platform/failure.ts";
import type { JsonObject } from "../platform/json.ts";
import type { AgentFacts } from "../report/facts.ts";
import { measureSize } from "../report/measure.ts";
import { wantedReported } from "../report/patch.ts";
import { applyDesiredPatch, parseTwin, type Desired } from "../twin/desired.ts";
import type { Attendance } from "./attendance.ts";
import type { Device } from "./device.ts";
import { InputAlarm } from "./input-alarm.ts";
import type { Parts } from "./parts.ts";
import type { Phase } from "./phase.ts";
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
  readonly phase: Extract<Phase, { at: "online" }>;
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
  let { desired, reported } = await fetchTwin(following, signal);
  let failures = 0;
  for (;;) {
    const reconciled = await device.apply(desired, signal);
    signal.throwIfAborted();
    const told = await tell(following, reconciled, reported, signal);
    reported = told.reported;
    if (told.againInMs === undefined) parts.desk.programs.settle();
    parts.desk.noteTwin({ desired, reported });
    tellHealth(following, desired, reconciled);
    failures = reconciled.results.some(isFailed) ? failures + 1 : 0;
    const applyInMs = failures === 0 ? Infinity : backoff(retryLadder, failures, parts.random);
    const retryInMs = Math.min(applyInMs, told.againInMs ?? Infinity);
    following.attendance.begin();
    using retry = new InputAlarm(parts.inputs, retryInMs, ["apply-now"]);
    const wakers = AbortSignal.any([retry.signal, parts.desk.programs.news()]);
    const patches = await waitForPatches(session, wakers, leave, signal);
    if (patches === undefined) return;
    const next = merge(desired, patches);
    if (next === undefined) ({ desired, reported } = await fetchTwin(following, signal));
    else desired = next;
  }
}

/** The patches; none when there is something else to do; undefined when the session is to be left. */
async function waitForPatches(
  session: Session,
  wakers: AbortSignal,
  leave: AbortSignal,
  signal: AbortSignal,
): Promise<readonly unknown[] | undefined> {
  try {
    return await session.desiredPatches(AbortSignal.any([signal, leave, wakers]));
  } catch (error) {
    if (signal.aborted || session.lost.aborted) throw error;
    if (leave.aborted) return undefined;
    if (wakers.aborted) return [];
    throw error;
  }
}

/** The newest desired document, or undefined where something is missing in between. */
function merge(desired: Desired, patches: readonly unknown[]): Desired | undefined {
  let current = desired;
  for (const patch of patches) {
    const result = applyDesiredPatch(current, patch);
    if (result.status === "gap" || result.status === "malformed") return undefined;
    if (result.status === "applied") current = result.desired;
  }
  return current;
}

async function fetchTwin(
  { session, parts }: Following,
  signal: AbortSignal,
): Promise<{ readonly desired: Desired; readonly reported: JsonObject }> {
  const twin = parseTwin(await session.twin(signal));
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
      const ours = wantedReported(reconciled, facts);
      const others = Object.entries(known).filter(([name]) => !Object.hasOwn(ours, name));
      const othersBytes = measureSize({ ...Object.fromEntries(others), ...(programs && { programs }) });
      const wanted = wantedReported(reconciled, facts, { othersBytes, isRefused });
      return programs === undefined ? wanted : { ...wanted, programs };
    },
    reported,
    signal,
  );
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
    isFallback: phase.askDpsAtMs !== undefined,
    ...(certificateExpiresAtMs !== undefined && { certificateExpiresAtMs }),
    ...(attestation === "tpm" && provenInMs !== undefined && { tpmSignsInMs: provenInMs }),
    warnings: [
      ...(trouble === undefined ? [] : [`${trouble.message} [${trouble.code}]`]),
      ...warnings,
      ...parts.desk.limits,
    ],
  });
}

function isFailed({ outcome }: Reconciled["results"][number]): boolean {
  return outcome.status === "failed";
}
