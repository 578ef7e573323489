import { expect, test } from "vitest";
import type { Applier, Circumstances, Outcome, Step } from "../../src/appliers/applier.ts";
import { isJson, type Json } from "../../src/platform/json.ts";

export interface ApplierSpecimen {
  /** A new applier on the same device. */
  readonly create: () => Applier;
  /** Two legal values that differ. */
  readonly legal: readonly [Json, Json];
  readonly illegal: readonly Json[];
  /** Something that is equal when the device is in the same state. */
  readonly observe: () => Promise<unknown>;
}

const never = new AbortController().signal;

/** What every applier promises. Call it inside a `describe`; the device of each test must be new. */
export function describeApplierContract(prepare: () => Promise<ApplierSpecimen>): void {
  test("contract: an illegal value is rejected with problems and nothing is touched", async () => {
    const specimen = await prepare();
    const before = await specimen.observe();
    for (const value of specimen.illegal) {
      const parsed = await specimen.create().parse(value);
      expect([value, parsed.status]).toEqual([value, "rejected"]);
      expect(parsed).toHaveProperty("problems.0");
    }
    expect(await specimen.observe()).toEqual(before);
  });

  test("contract: parse and plan touch nothing, and steps are plain data", async () => {
    const specimen = await prepare();
    const before = await specimen.observe();
    const steps = await plan(specimen.create(), specimen.legal[0]);
    expect(steps.length).toBeGreaterThan(0);
    expect(steps.filter(({ says }) => says === "")).toEqual([]);
    expect(isJson(JSON.parse(JSON.stringify(steps)))).toBe(true);
    expect(await specimen.observe()).toEqual(before);
  });

  test("contract: a new value is applied, and what changed is named", async () => {
    const specimen = await prepare();
    const before = await specimen.observe();
    const outcome = await apply(specimen.create(), specimen.legal[0]);
    expect(outcome).toMatchObject({ status: "applied" });
    expect(outcome).toHaveProperty("changed.0");
    expect(await specimen.observe()).not.toEqual(before);
  });

  test("contract: the same value twice ends in the same state", async () => {
    const specimen = await prepare();
    const applier = specimen.create();
    await apply(applier, specimen.legal[0]);
    const after = await specimen.observe();
    expect(["unchanged", "applied"]).toContain((await apply(applier, specimen.legal[0])).status);
    expect(await specimen.observe()).toEqual(after);
  });

  test("contract: the last of two values is in force", async () => {
    const specimen = await prepare();
    const applier = specimen.create();
    await apply(applier, specimen.legal[1]);
    const wanted = await specimen.observe();
    await apply(applier, specimen.legal[0]);
    expect(await specimen.observe()).not.toEqual(wanted);
    await apply(applier, specimen.legal[1]);
    expect(await specimen.observe()).toEqual(wanted);
  });

  test("contract: nothing is touched once the signal is aborted, and execute throws", async () => {
    const specimen = await prepare();
    const before = await specimen.observe();
    const applier = specimen.create();
    const reason = new Error("stop");
    const steps = await plan(applier, specimen.legal[0]);
    await expect(applier.execute(steps, AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(await specimen.observe()).toEqual(before);
  });

  test("contract: two appliers made from the same rule have the same fingerprint", async () => {
    const specimen = await prepare();
    expect(specimen.create().fingerprint).toBe(specimen.create().fingerprint);
  });
}

export async function plan(
  applier: Applier,
  value: Json,
  circumstances: Circumstances = { version: 1 },
): Promise<readonly Step[]> {
  const parsed = await applier.parse(value);
  if (parsed.status === "rejected") throw new Error(parsed.problems.join("; "));
  return applier.plan(parsed.value, circumstances);
}

export async function apply(
  applier: Applier,
  value: Json,
  circumstances: Circumstances = { version: 1 },
): Promise<Outcome> {
  return applier.execute(await plan(applier, value, circumstances), never);
}
