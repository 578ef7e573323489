import { createHash } from "node:crypto";
import { canonicalJson, type Json } from "../platform/json.ts";
import type { Desired } from "../twin/desired.ts";
import type { Applier, Appliers, Circumstances, Outcome } from "./applier.ts";
import type { Remembered, RememberedProperty } from "./remembered.ts";
import { findTargets, type PropertyName } from "./targets.ts";

/** The answer to one desired property, at the desired version it answers. */
export interface PropertyResult extends PropertyName {
  readonly version: number;
  readonly outcome: Outcome;
  /** What is in force now; absent where nobody knows. */
  readonly value?: Json;
  /** Whether the value was tried in this call (false: known from earlier). For the log. */
  readonly isFresh: boolean;
}

export interface Reconciled {
  readonly results: readonly PropertyResult[];
  /** Ours, but not in desired: reported as null. */
  readonly absent: readonly PropertyName[];
  /** Absent since this call. What was applied stays as it is, unless the applier withdraws it; worth telling. */
  readonly released: readonly PropertyName[];
  /** Desired properties that no applier serves (`component.setting` within a component). They are not acknowledged. */
  readonly ignored: readonly string[];
  readonly remembered: Remembered;
  /** False when the signal ended it early: `results` then lacks some properties. */
  readonly isComplete: boolean;
}

export interface ReconcileInput {
  readonly desired: Desired;
  readonly remembered: Remembered;
  readonly appliers: Appliers;
  /**
   * Stores what is remembered before a value in force is replaced, so that a kill in the middle is known as unfinished at the
   * next start. The caller stores the final `remembered` itself.
   */
  readonly remember: (remembered: Remembered) => void | Promise<void>;
}

/**
 * Makes the device what desired says, one property at a time; one bad property does not stop the others.
 *
 * What is remembered as in force with the same value and the same rule is acknowledged at the new version without being applied
 * again. Failed and unfinished properties are tried again.
 * @returns also when aborted; that shows in `isComplete`. Throws only what `remember` throws, and bugs.
 */
export async function reconcile(input: ReconcileInput, signal: AbortSignal): Promise<Reconciled> {
  const version = input.desired.version;
  const { targets, unknown, ignored } = findTargets(input.desired, input.appliers);
  const memory = new Map(input.remembered.map((entry) => [keyOf(entry), entry]));
  const settled = new Set<string>();
  const absent: PropertyName[] = [];
  const released: PropertyName[] = [];
  const results: PropertyResult[] = unknown.map(({ name, problem }) => {
    const outcome: Outcome = { status: "rejected", problems: [problem] };
    return Object.assign({ version, outcome, isFresh: true }, name);
  });
  const done = (isComplete: boolean): Reconciled => {
    return { results, absent, released, ignored, remembered: [...memory.values()], isComplete };
  };

  for (const { name, applier, value } of targets) {
    if (signal.aborted) return done(false);
    const key = keyOf(name);
    settled.add(key);
    const known = memory.get(key);
    if (value === undefined) {
      absent.push(name);
      if (memory.delete(key)) {
        released.push(name);
        await applier.withdraw?.(signal);
      }
      continue;
    }
    const wish: Wish = { name, applier, value, digest: digestOf(applier, value), version };
    const attempt = await settle(wish, known, signal, async (unfinished) => {
      memory.set(key, unfinished);
      await input.remember([...memory.values()]);
    });
    if (attempt === undefined) return done(false);
    memory.set(key, attempt.remembered);
    results.push(attempt.result);
  }
  for (const [key, { component, property }] of memory) {
    // Known from an earlier configuration; nobody serves it any more.
    if (settled.has(key)) continue;
    memory.delete(key);
    const name = component === undefined ? { property } : { component, property };
    absent.push(name);
    released.push(name);
  }
  return done(true);
}

interface Wish {
  readonly name: PropertyName;
  readonly applier: Applier;
  readonly value: Json;
  readonly digest: string;
  readonly version: number;
}

interface Attempt {
  readonly result: PropertyResult;
  readonly remembered: RememberedProperty;
}

/** @returns undefined when aborted half-way; what is remembered then says so already. */
async function settle(
  wish: Wish,
  known: RememberedProperty | undefined,
  signal: AbortSignal,
  begin: (unfinished: RememberedProperty) => Promise<void>,
): Promise<Attempt | undefined> {
  const { applier, value, digest } = wish;
  const before = inForceUnder(applier, known);
  if (applier.isDurable && before?.digest === digest) {
    const isSameAsLast = known?.digest === digest && isSuccess(known.outcome);
    return attempt(wish, isSameAsLast ? known.outcome : { status: "unchanged" }, before, false);
  }
  const circumstances = { version: wish.version, ...(before !== undefined && { previous: before.value }) };
  const parsed = await applier.parse(value);
  if (parsed.status === "rejected") {
    if (!applier.isDurable && before !== undefined) await putBack(applier, before, circumstances, signal);
    return attempt(wish, parsed, before, true);
  }
  // Without a value in force it is tried again at the next start anyway.
  if (applier.isDurable && known?.inForce !== undefined)
    await begin(attempt(wish, interrupted, undefined, true).remembered);
  const outcome = await executeUnlessAborted(applier, parsed.value, circumstances, signal);
  if (outcome === undefined) return undefined;
  return attempt(wish, outcome, inForceAfter(outcome, wish, before), true);
}

/** The last good value stays in force beside a bad one: also after a restart, which a value that is not durable does not survive. */
async function putBack(
  applier: Applier,
  inForce: InForce,
  circumstances: Circumstances,
  signal: AbortSignal,
): Promise<void> {
  const parsed = await applier.parse(inForce.value);
  if (parsed.status === "parsed") await executeUnlessAborted(applier, parsed.value, circumstances, signal);
}

const interrupted: Outcome = {
  status: "failed",
  code: "appliers/interrupted",
  message: "the agent was stopped while it applied this value",
};

async function executeUnlessAborted(
  applier: Applier,
  value: unknown,
  circumstances: Circumstances,
  signal: AbortSignal,
): Promise<Outcome | undefined> {
  try {
    return await applier.execute(applier.plan(value, circumstances), signal);
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
}

type InForce = NonNullable<RememberedProperty["inForce"]>;

/** What is in force by the rule of today. What an earlier rule put elsewhere does not count. */
function inForceUnder(applier: Applier, known: RememberedProperty | undefined): InForce | undefined {
  const inForce = known?.inForce;
  return inForce?.digest === undefined || inForce.digest !== digestOf(applier, inForce.value)
    ? undefined
    : inForce;
}

function inForceAfter(outcome: Outcome, wish: Wish, before: InForce | undefined): InForce | undefined {
  switch (outcome.status) {
    case "unchanged":
    case "applied":
      return { digest: wish.digest, value: wish.value };
    case "rejected":
      return before;
    case "failed":
      return outcome.changed === undefined || outcome.changed.length === 0 ? before : undefined;
  }
}

function attempt(wish: Wish, outcome: Outcome, inForce: InForce | undefined, isFresh: boolean): Attempt {
  const { name, version, digest } = wish;
  const result = { ...name, version, outcome, isFresh };
  const remembered = { ...name, digest, version, outcome };
  return inForce === undefined
    ? { result, remembered }
    : { result: { ...result, value: inForce.value }, remembered: { ...remembered, inForce } };
}

function isSuccess(outcome: Outcome): boolean {
  return outcome.status === "unchanged" || outcome.status === "applied";
}

function digestOf(applier: Applier, value: Json): string {
  return createHash("sha256")
    .update(applier.fingerprint)
    .update("\n")
    .update(canonicalJson(value))
    .digest("base64url");
}

function keyOf({ component, property }: PropertyName): string {
  return JSON.stringify([component ?? null, property]);
}
