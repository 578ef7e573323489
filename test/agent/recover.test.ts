import { describe, expect, test } from "vitest";
import { afterAccepted, afterAssigned, afterSession, blankHistory } from "../../src/agent/history.ts";
import type { Phase } from "../../src/agent/phase.ts";
import { error, fail, minute, on, online, provisioning } from "./decisions.ts";

describe("the hub refuses", () => {
  test("once: the same hub again, after 30 to 60 s", () => {
    for (const [draw, delayMs] of [
      [0, 30_000],
      [0.999, 59_970],
    ] as const) {
      expect(fail(online(), error("reprovision"), blankHistory, draw)).toMatchObject({
        next: online(),
        delayMs,
      });
    }
  });

  test("twice in a row: DPS at once, with that hub as the fallback, and the reason in words", () => {
    const { history } = fail(online(), error("reprovision"), blankHistory);
    const { next, delayMs } = fail(online(), error("reprovision"), history);
    expect(delayMs).toBe(0);
    expect(next).toMatchObject({ at: "provisioning", fallback: on("hub.net") });
    expect(next.at === "provisioning" && next.because).toBe('hub.net refused device "gw-1" twice in a row');
  });

  test("once, is accepted, and refuses again: that is once, not twice in a row", () => {
    const { history } = fail(online(), error("reprovision"), blankHistory);
    expect(fail(online(), error("reprovision"), afterAccepted(history, false)).next).toEqual(online());
  });

  test("the hub that DPS named anew: it has two chances of its own", () => {
    const once = fail(online(), error("reprovision"), blankHistory).history;
    const twice = fail(online(), error("reprovision"), once).history;
    expect(fail(online(), error("reprovision"), afterAssigned(twice)).next.at).toBe("online");
  });

  test("again and again after each assignment: DPS is asked on a ladder of its own, not at once", () => {
    let history = blankHistory;
    const delays: number[] = [];
    for (let round = 0; round < 12; round += 1) {
      history = fail(online(), error("reprovision"), history).history;
      const decision = fail(online(), error("reprovision"), history);
      expect(decision.next.at).toBe("provisioning");
      delays.push(decision.delayMs);
      history = afterAssigned(decision.history);
    }
    expect(delays[0]).toBe(0);
    expect(delays.slice(1).every((delayMs) => delayMs >= 5_000)).toBe(true);
    expect(delays.slice(1)).toEqual(delays.slice(1).toSorted((one, other) => one - other));
    expect(delays.at(-1)).toBeGreaterThan(5 * minute);
  });

  test("a candidate twice: the hub that served before stays the fallback", () => {
    const phase = online({ assignment: on("new.net"), fallback: on("old.net") });
    const { history } = fail(phase, error("reprovision"), blankHistory);
    expect(fail(phase, error("reprovision"), history).next).toMatchObject({ fallback: on("old.net") });
  });
});

describe("anything else at the hub", () => {
  test.each(["retry", "operator"] as const)(
    "a hundred failures of the kind %s do not lead to DPS",
    (remedy) => {
      let history = blankHistory;
      for (let count = 0; count < 100; count += 1) {
        const decision = fail(online(), error(remedy), history);
        expect(decision.next).toEqual(online());
        ({ history } = decision);
      }
    },
  );

  test.each([
    ["retry", 1_000, minute],
    ["operator", 30_000, 60 * minute],
  ] as const)("of the kind %s is repeated after %i to %i ms", (remedy, least, most) => {
    const worn = { ...blankHistory, hubFailures: 50, hubStreak: { code: "room/fact", times: 50 } };
    expect(fail(online(), error(remedy), blankHistory, 0).delayMs).toBe(least);
    expect(fail(online(), error(remedy), worn, 0.999_999_999).delayMs).toBe(most);
  });

  test("a flapping line does not reset its own back-off; a session that held for a minute does", () => {
    const worn = { ...blankHistory, hubFailures: 9 };
    expect(afterSession(afterAccepted(worn, false), 59_999).hubFailures).toBe(9);
    expect(afterSession(afterAccepted(worn, false), minute).hubFailures).toBe(0);
  });
});

describe("DPS fails", () => {
  test("without a fallback: DPS again, on its ladder", () => {
    const decision = fail(provisioning(), error("retry"), blankHistory, 0.999_999);
    expect(decision).toMatchObject({ next: provisioning(), delayMs: 10_000 });
    expect(
      fail(provisioning(), error("retry"), { ...blankHistory, dpsAttempts: 50 }, 0.999_999_999).delayMs,
    ).toBe(10 * minute);
  });

  test("because a person has to act: slowly, but never never", () => {
    const delays = Array.from(
      { length: 20 },
      (_, times) =>
        fail(
          provisioning(),
          error("operator"),
          { ...blankHistory, dpsStreak: { code: "room/fact", times } },
          0.999_999_999,
        ).delayMs,
    );
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(30_000);
    expect(Math.max(...delays)).toBe(60 * minute);
  });

  test("with a fallback: the old hub has its turn, and DPS is owed", () => {
    const { next, delayMs } = fail(provisioning(on("old.net")), error("operator"), blankHistory);
    expect(next).toMatchObject({ at: "online", assignment: on("old.net") });
    expect(next.at === "online" && next.askDpsAtMs).toBeGreaterThanOrEqual(30_000);
    expect(delayMs).toBeLessThanOrEqual(minute);
  });

  test("after many network failures a first refusal by a person's doing does not wait an hour", () => {
    const worn = { ...blankHistory, dpsAttempts: 50, dpsStreak: { code: "mqtt/unreachable", times: 50 } };
    expect(fail(provisioning(), error("operator"), worn, 0.999_999).delayMs).toBeLessThanOrEqual(minute);
  });

  test("again and again while the old hub serves: the ladder grows all the same", () => {
    let history = blankHistory;
    let nowMs = 0;
    const gaps: number[] = [];
    for (let round = 0; round < 15; round += 1) {
      const { next, history: failed } = fail(
        provisioning(on("old.net")),
        error("retry"),
        history,
        0.999_999,
        nowMs,
      );
      if (next.at !== "online" || next.askDpsAtMs === undefined) throw new Error("the fallback has its turn");
      gaps.push(next.askDpsAtMs - nowMs);
      history = afterAccepted(failed, true);
      nowMs = next.askDpsAtMs;
    }
    expect(gaps).toEqual(gaps.toSorted((one, other) => one - other));
    expect(gaps.at(-1)).toBeGreaterThan(9 * minute);
  });

  test("and the old hub's line breaks meanwhile: the old hub again until DPS is due, then DPS", () => {
    const owed = online({ assignment: on("old.net"), askDpsAtMs: 100_000 });
    expect(fail(owed, error("retry"), blankHistory, 0.5, 1_000).next).toEqual(owed);
    const due = fail(owed, error("retry"), blankHistory, 0.5, 99_500);
    expect(due).toMatchObject({ next: { at: "provisioning", fallback: on("old.net") }, delayMs: 500 });
  });

  test("with a fallback that refuses too: DPS again, and the fallback is kept", () => {
    const first = fail(provisioning(on("old.net")), error("operator"), { ...blankHistory, hubRefusals: 2 });
    const second = fail(first.next, error("reprovision"), first.history);
    expect(second.next).toMatchObject({ at: "provisioning", fallback: on("old.net") });
    expect(second.delayMs).toBeGreaterThanOrEqual(30_000);
  });
});

test("an identity that cannot be opened is tried again, sooner at first and for ever", () => {
  const phase: Phase = { at: "identifying" };
  expect(fail(phase, error("operator"), blankHistory, 0)).toMatchObject({ next: phase, delayMs: 10_000 });
  const worn = { ...blankHistory, identityFailures: 1_000 };
  expect(fail(phase, error("operator"), worn, 0.999_999_999)).toMatchObject({
    next: phase,
    delayMs: 10 * minute,
  });
});
