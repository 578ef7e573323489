import { createHash } from "node:crypto";
import { canonicalJson, type Json } from "../platform/json.ts";
import type { Applier, Circumstances, Outcome } from "./applier.ts";
import type { InForce, RememberedProperty, Trial } from "./remembered.ts";
import type { PropertyName } from "./targets.ts";

/** The answer to one desired property, at the desired version it answers. */
export interface PropertyResult extends PropertyName {
  readonly version: number;
  readonly outcome: Outcome;
  /** What is in force now; absent where nobody knows. */
  readonly value?: Json;
  /** Whether the value was tried in this call (false: known from earlier). For the log. */
  readonly isFresh: boolean;
  /** In force, but only until the hub turns out to be out of reach. */
  readonly isOnTrial?: boolean;
  /** A failure that is not tried again by itself. */
  readonly isFinal?: boolean;
}

/** One desired property that has an applier. */
export interface Wish {
  readonly name: PropertyName;
  readonly applier: Applier;
  readonly value: Json;
  readonly version: number;
  /** Look whether the device is still as it was left. */
  readonly isChecked: boolean;
  /** Try again what is final, too: somebody asked for it. */
  readonly isForced: boolean;
}

export interface Attempt {
  readonly result: PropertyResult;
  readonly remembered: RememberedProperty;
}

/** What stands between the digest and the outcome. */
type Known = Omit<RememberedProperty, "component" | "property" | "version" | "digest">;

/**
 * Brings one property to its desired value, if it is not there already.
 * @param known what is remembered of it.
 * @param begin called before the device is touched; with what is to be remembered meanwhile where a value in force is replaced.
 * @returns undefined when aborted half-way; what is remembered then says so already.
 */
export async function settle(
  wish: Wish,
  known: RememberedProperty | undefined,
  signal: AbortSignal,
  begin: (unfinished: RememberedProperty | undefined) => Promise<void>,
): Promise<Attempt | undefined> {
  try {
    return await bring(wish, known, signal, begin);
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
}

async function bring(
  wish: Wish,
  known: RememberedProperty | undefined,
  signal: AbortSignal,
  begin: (unfinished: RememberedProperty | undefined) => Promise<void>,
): Promise<Attempt> {
  const { applier, value, isChecked, isForced } = wish;
  const digest = digestOf(applier, value);
  const before = inForceUnder(applier, known);
  const isSame = known?.digest === digest;
  const trial = trialUnder(applier, known);
  const standing = {
    ...(before !== undefined && { inForce: before }),
    ...(trial !== undefined && { trial }),
  };
  if (isSame && known.isFinal === true && !isForced)
    return answer(wish, { ...standing, outcome: known.outcome, isFinal: true }, false);
  if (applier.isDurable && before?.digest === digest) {
    const outcome: Outcome = isSame && isSettled(known.outcome) ? known.outcome : { status: "unchanged" };
    const drift = isChecked ? await findDrift(wish, signal) : undefined;
    if (drift === undefined) return answer(wish, { ...standing, outcome }, false);
    if (drift.length === 0) return answer(wish, { ...standing, outcome: undrifted(outcome) }, false);
    if (applier.isMended !== true) return answer(wish, { ...standing, outcome: drifted(drift) }, true);
  }
  return tryValue(
    wish,
    { before, previous: before ?? previousUnder(applier, known), onTrial: trial },
    signal,
    begin,
  );
}

/** How things stood before an attempt. */
interface Standing {
  readonly before: InForce | undefined;
  /** In force before, or before the attempts since. */
  readonly previous: InForce | undefined;
  readonly onTrial: Trial | undefined;
}

async function tryValue(
  wish: Wish,
  stood: Standing,
  signal: AbortSignal,
  begin: (unfinished: RememberedProperty | undefined) => Promise<void>,
): Promise<Attempt> {
  const { applier, value, version } = wish;
  const { before, previous } = stood;
  const circumstances = { version, ...(previous !== undefined && { previous: previous.value }) };
  const parsed = await applier.parse(value);
  if (parsed.status === "rejected") {
    if (!applier.isDurable && before !== undefined) await setAgain(applier, before, circumstances, signal);
    return answer(wish, { ...untouched(stood), outcome: parsed }, true);
  }
  const started = await startTrial(applier, stood, circumstances, signal);
  if (started?.status === "failed") return answer(wish, { ...untouched(stood), outcome: started }, true);
  const trial = started?.trial;
  // Without a value in force it is tried again at the next start anyway.
  const isReplaced = before !== undefined || trial !== undefined;
  if (applier.isDurable)
    await begin(
      isReplaced
        ? answer(wish, { ...halfWay(stood, trial), outcome: interrupted }, true).remembered
        : undefined,
    );
  const done = await applier.execute(applier.plan(parsed.value, circumstances), signal);
  const undone = await undoHalf(applier, done, trial, circumstances, signal);
  return answer(wish, undone ?? after(done, wish, stood, trial), true);
}

function untouched({ before, previous, onTrial }: Standing): Omit<Known, "outcome"> {
  return {
    ...(before !== undefined && { inForce: before }),
    ...(before === undefined && previous !== undefined && { previous }),
    ...(onTrial !== undefined && { trial: onTrial }),
  };
}

function halfWay({ previous }: Standing, trial: Trial | undefined): Omit<Known, "outcome"> {
  return { ...(previous !== undefined && { previous }), ...(trial !== undefined && { trial }) };
}

/** A change after an unconfirmed one goes back to what was there before both. */
async function startTrial(
  applier: Applier,
  { before, onTrial }: Standing,
  circumstances: Circumstances,
  signal: AbortSignal,
): Promise<
  { readonly status: "started"; readonly trial: Trial } | Extract<Outcome, { status: "failed" }> | undefined
> {
  if (applier.confirmMs === undefined || applier.keep === undefined) return undefined;
  if (onTrial !== undefined) return { status: "started", trial: onTrial };
  const answer = await applier.keep(circumstances, signal);
  if (answer.status === "failed") return answer;
  const { kept } = answer;
  const trial = { rule: ruleOf(applier), kept, starts: 0, ...(before !== undefined && { previous: before }) };
  return { status: "started", trial };
}

/**
 * What a failure left half done is undone where something was kept for it. That leads back to before the trial, which may be further than
 * to the value before this one.
 */
async function undoHalf(
  applier: Applier,
  outcome: Outcome,
  trial: Trial | undefined,
  circumstances: Circumstances,
  signal: AbortSignal,
): Promise<Known | undefined> {
  if (outcome.status !== "failed" || isUntouched(outcome) || trial === undefined) return undefined;
  const restored = await applier.restore?.(trial.kept, circumstances, signal);
  if (restored === undefined || !isSuccess(restored)) return undefined;
  const { previous } = trial;
  return { outcome: { ...outcome, changed: [] }, ...(previous !== undefined && { inForce: previous }) };
}

function after(outcome: Outcome, { applier, value }: Wish, stood: Standing, trial: Trial | undefined): Known {
  const inForce = { digest: digestOf(applier, value), value };
  switch (outcome.status) {
    case "applied":
      return { outcome, inForce, ...(trial !== undefined && { trial }) };
    case "unchanged":
      return { outcome, inForce, ...(stood.onTrial !== undefined && { trial: stood.onTrial }) };
    case "rejected":
      // The device itself refused it, and would do so again.
      return { ...untouched(stood), outcome, isFinal: true };
    case "failed":
      return { ...(isUntouched(outcome) ? untouched(stood) : halfWay(stood, trial)), outcome };
  }
}

/** The last good value stays in force beside a bad one: also after a restart, which a value that is not durable does not survive. */
async function setAgain(
  applier: Applier,
  inForce: InForce,
  circumstances: Circumstances,
  signal: AbortSignal,
): Promise<void> {
  const parsed = await applier.parse(inForce.value);
  if (parsed.status === "parsed") await applier.execute(applier.plan(parsed.value, circumstances), signal);
}

const interrupted: Outcome = {
  status: "failed",
  code: "appliers/interrupted",
  message: "the agent was stopped while it applied this value",
};

/** @returns undefined where nobody can tell. */
async function findDrift(
  { applier, value, version }: Wish,
  signal: AbortSignal,
): Promise<readonly string[] | undefined> {
  if (applier.findDrift === undefined) return undefined;
  const parsed = await applier.parse(value);
  if (parsed.status === "rejected") return undefined;
  return applier.findDrift(applier.plan(parsed.value, { version, previous: value }), signal);
}

function drifted(drift: readonly string[]): Outcome {
  const message = `changed by somebody else: ${drift.join("; ")}`;
  return { status: "failed", code: "appliers/drifted", message };
}

function undrifted(outcome: Outcome): Outcome {
  return isSuccess(outcome) ? outcome : { status: "unchanged" };
}

/** What is in force by the rule of today. What an earlier rule put elsewhere does not count. */
function inForceUnder(applier: Applier, known: RememberedProperty | undefined): InForce | undefined {
  const inForce = known?.inForce;
  return inForce === undefined || inForce.digest !== digestOf(applier, inForce.value) ? undefined : inForce;
}

function previousUnder(applier: Applier, known: RememberedProperty | undefined): InForce | undefined {
  const previous = known?.previous;
  return previous === undefined || previous.digest !== digestOf(applier, previous.value)
    ? undefined
    : previous;
}

function trialUnder(applier: Applier, known: RememberedProperty | undefined): Trial | undefined {
  return applier.confirmMs !== undefined && known?.trial?.rule === ruleOf(applier) ? known.trial : undefined;
}

function answer({ name, applier, value, version }: Wish, known: Known, isFresh: boolean): Attempt {
  const { outcome, inForce, isFinal, trial } = known;
  const isDrifted = outcome.status === "failed" && outcome.code === "appliers/drifted";
  return {
    result: {
      ...name,
      version,
      outcome,
      isFresh,
      ...(inForce !== undefined && !isDrifted && { value: inForce.value }),
      ...(trial !== undefined && isSuccess(outcome) && { isOnTrial: true }),
      ...((isFinal === true || isDrifted) && { isFinal: true }),
    },
    remembered: { ...name, digest: digestOf(applier, value), version, ...known },
  };
}

function isSuccess(outcome: Outcome): boolean {
  return outcome.status === "unchanged" || outcome.status === "applied";
}

function isSettled(outcome: Outcome): boolean {
  return isSuccess(outcome) || (outcome.status === "failed" && outcome.code === "appliers/drifted");
}

function ruleOf(applier: Applier): string {
  return createHash("sha256").update(applier.fingerprint).digest("base64url");
}

function digestOf(applier: Applier, value: Json): string {
  return createHash("sha256")
    .update(applier.fingerprint)
    .update("\n")
    .update(canonicalJson(value))
    .digest("base64url");
}

function isUntouched({ changed }: Extract<Outcome, { status: "failed" }>): boolean {
  return changed === undefined || changed.length === 0;
}
