import { describe, expect, test } from "vitest";
import {
  afterAccepted,
  afterAssigned,
  afterSession,
  blankHistory,
  hubHistory,
} from "../../src/agent/history.ts";
import type { Phase } from "../../src/agent/phase.ts";
import { dpsWas, error, fail, hour, hubWas, Life, minute, on, online, provisioning } from "./decisions.ts";

/** As twice refused, half a minute apart. */
function twiceRefused(phase = online(), draw = 0.5, history = blankHistory) {
  const once = fail(phase, error("reprovision"), history, draw, 0);
  return fail(phase, error("reprovision"), once.history, draw, once.delayMs);
}

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
    const { next, delayMs } = twiceRefused();
    expect(delayMs).toBe(0);
    expect(next).toMatchObject({ at: "provisioning", fallback: on("hub.net") });
    expect(next.at === "provisioning" && next.because).toBe('hub.net refused device "gw-1" twice in a row');
  });

  test("by its TLS alone, because of our certificate: as in CONNACK", () => {
    const refused = error("operator", undefined, "mqtt/certificate-refused");
    const once = fail(online(), refused, blankHistory);
    expect(once).toMatchObject({ next: online(), delayMs: 45_000 });
    expect(fail(online(), refused, once.history, 0.5, 45_000).next.at).toBe("provisioning");
  });

  test("twice within a second: that is one strike, because a hub out of step with itself needs longer", () => {
    const once = fail(online(), error("reprovision"), blankHistory, 0, 0);
    expect(fail(online(), error("reprovision"), once.history, 0, 1_000).next).toEqual(online());
    expect(fail(online(), error("reprovision"), once.history, 0, 30_000).next.at).toBe("provisioning");
  });

  test("twice, 15 minutes apart: the first is forgotten", () => {
    const once = fail(online(), error("reprovision"), blankHistory, 0, 0);
    expect(fail(online(), error("reprovision"), once.history, 0, 15 * minute).next).toEqual(online());
    expect(fail(online(), error("reprovision"), once.history, 0, 14 * minute).next.at).toBe("provisioning");
  });

  test("twice, with network failures in between: still twice", () => {
    const once = fail(online(), error("reprovision"), blankHistory, 0, 0);
    const lost = fail(online(), error("retry"), once.history, 0, 31_000);
    expect(fail(online(), error("reprovision"), lost.history, 0, minute).next.at).toBe("provisioning");
  });

  test("once, is accepted, and refuses again: that is once, not twice in a row", () => {
    const { history } = fail(online(), error("reprovision"), blankHistory);
    const accepted = afterAccepted(history, "hub.net", false);
    expect(fail(online(), error("reprovision"), accepted, 0.5, minute).next).toEqual(online());
  });

  test("the hub that DPS named anew: it has two chances of its own", () => {
    const assigned = afterAssigned(twiceRefused().history, "hub.net", minute, 6 * minute);
    expect(fail(online(), error("reprovision"), assigned, 0.5, minute).next.at).toBe("online");
  });

  test("again and again after each assignment: DPS is asked on a ladder from 5 minutes to 6 hours", () => {
    const life = new Life(online(), () => 0.999);
    const askedAt: number[] = [];
    while (askedAt.length < 12) {
      if (life.phase.at === "provisioning") {
        askedAt.push(life.nowMs);
        const gapMs = Math.min(6 * hour, 5 * minute * 2 ** askedAt.length);
        life.history = afterAssigned(life.history, "hub.net", life.nowMs, life.nowMs + gapMs);
        life.phase = online();
      } else life.fails(error("reprovision"));
    }
    const gaps = askedAt.slice(1).map((at, index) => at - (askedAt[index] ?? 0));
    expect(gaps[0]).toBeGreaterThanOrEqual(5 * minute);
    expect(gaps).toEqual(gaps.toSorted((one, other) => one - other));
    expect(gaps.at(-1)).toBeGreaterThanOrEqual(6 * hour);
    expect(gaps.at(-1)).toBeLessThan(8 * hour);
  });

  test("a candidate twice: the hub that served before has its turn, and DPS is owed", () => {
    const phase = online({ assignment: on("new.net"), fallback: on("old.net") });
    const assigned = afterAssigned(blankHistory, "new.net", 0, 5 * minute);
    const { next, delayMs } = twiceRefused(phase, 0.5, assigned);
    expect(next).toMatchObject({
      at: "online",
      assignment: on("old.net"),
      owedDps: { atMs: 5 * minute, claim: "standing" },
    });
    expect(delayMs).toBeLessThanOrEqual(2_000);
  });
});

describe("anything else at the hub", () => {
  test.each(["retry", "operator"] as const)(
    "a hundred failures of the kind %s do not lead to DPS while nobody knows that the network is good",
    (remedy) => {
      const life = new Life(online(), () => 0.5);
      for (let count = 0; count < 100; count += 1) expect(life.fails(error(remedy)).next).toEqual(online());
    },
  );

  test.each([
    ["retry", 1_000, minute],
    ["operator", 15 * minute, 6 * hour],
  ] as const)("of the kind %s is repeated after %i to %i ms", (remedy, least, most) => {
    const worn = hubWas({ failures: 50, streak: { code: "room/fact", times: 50 } });
    expect(fail(online(), error(remedy), worn, 0).delayMs).toBe(least);
    expect(fail(online(), error(remedy), worn, 0.999_999_999).delayMs).toBe(most);
  });

  test("that a person has to mend is looked at once more within a minute, before the slow probing", () => {
    expect(fail(online(), error("operator"), blankHistory, 0).delayMs).toBe(30_000);
    expect(fail(online(), error("operator"), blankHistory, 0.999_999).delayMs).toBe(minute);
  });

  test("a flapping line does not reset its own back-off; a session that held for a minute does", () => {
    const worn = afterAccepted(hubWas({ failures: 9 }), "hub.net", false);
    const failuresAfter = (heldForMs: number) =>
      hubHistory(afterSession(worn, "hub.net", { heldForMs, wasCut: true }, 0), "hub.net").failures;
    expect(failuresAfter(59_999)).toBe(9);
    expect(failuresAfter(minute)).toBe(0);
  });
});

describe("DPS fails", () => {
  test("without a fallback: DPS again, on its ladder", () => {
    const decision = fail(provisioning(), error("retry"), blankHistory, 0.999_999);
    expect(decision).toMatchObject({ next: provisioning(), delayMs: 10_000 });
    expect(fail(provisioning(), error("retry"), dpsWas({ failures: 50 }), 0.999_999_999).delayMs).toBe(
      10 * minute,
    );
  });

  test("because a person has to act: once more within a minute, then in 15 minutes to 6 hours, but never never", () => {
    const delays = Array.from(
      { length: 20 },
      (_, times) =>
        fail(
          provisioning(),
          error("operator"),
          dpsWas({ streak: { code: "room/fact", times } }),
          0.999_999_999,
        ).delayMs,
    );
    expect(delays[0]).toBe(minute);
    expect(Math.min(...delays.slice(1))).toBeGreaterThanOrEqual(15 * minute);
    expect(Math.max(...delays)).toBe(6 * hour);
  });

  test("because the enrollment is disabled: about every hour", () => {
    const disabled = error("operator", undefined, "provisioning/disabled");
    const worn = dpsWas({ failures: 50, streak: { code: disabled.code, times: 50 } });
    expect(fail(provisioning(), disabled, worn, 0).delayMs).toBe(45 * minute);
    expect(fail(provisioning(), disabled, worn, 0.999_999_999).delayMs).toBe(75 * minute);
  });

  test("without being reached, while nothing serves: at least every two minutes, for that costs nothing", () => {
    const nobody = error("retry", undefined, "mqtt/unreachable");
    const worn = dpsWas({ failures: 500, streak: { code: nobody.code, times: 500 } });
    const decision = fail(provisioning(), nobody, worn, 0.999_999_999);
    expect(decision.delayMs).toBe(2 * minute);
    expect(decision.history.dps.spent).toEqual([]);
  });

  test("and names a time: nobody comes sooner, and not all at once", () => {
    const busy = error("retry", 2 * hour);
    expect(fail(provisioning(), busy, blankHistory, 0).delayMs).toBe(2 * hour);
    expect(fail(provisioning(), busy, blankHistory, 0.5).delayMs).toBe(132 * minute);
  });

  test("with a fallback: the old hub has its turn, and DPS is owed", () => {
    const { next, delayMs } = fail(provisioning(on("old.net")), error("operator"), blankHistory);
    expect(next).toMatchObject({ at: "online", assignment: on("old.net") });
    expect(next.at === "online" && next.owedDps?.atMs).toBeGreaterThanOrEqual(30_000);
    expect(delayMs).toBeLessThanOrEqual(minute);
  });

  test("after many network failures a first refusal by a person's doing does not wait for hours", () => {
    const worn = dpsWas({ failures: 50, streak: { code: "mqtt/unreachable", times: 50 } });
    expect(fail(provisioning(), error("operator"), worn, 0.999_999).delayMs).toBeLessThanOrEqual(minute);
  });

  test("again and again while the old hub serves: the ladder grows all the same", () => {
    const life = new Life(provisioning(on("old.net")), () => 0.999_999);
    const gaps: number[] = [];
    for (let round = 0; round < 15; round += 1) {
      const { nowMs } = life;
      life.fails(error("retry"));
      if (life.phase.at !== "online" || life.phase.owedDps === undefined)
        throw new Error("the fallback has its turn");
      life.accepted();
      const { atMs } = life.phase.owedDps ?? { atMs: NaN };
      gaps.push(atMs - nowMs);
      life.nowMs = atMs;
      life.phase = provisioning(on("old.net"));
    }
    expect(gaps).toEqual(gaps.toSorted((one, other) => one - other));
    expect(gaps.at(-1)).toBeGreaterThan(9 * minute);
  });

  test("and the old hub's line breaks meanwhile: the old hub again until DPS is due, then DPS", () => {
    const owedDps = { atMs: 100_000, because: "test", claim: "standing" } as const;
    const owed = online({ assignment: on("old.net"), owedDps });
    expect(fail(owed, error("retry"), blankHistory, 0.5, 1_000).next).toEqual(owed);
    const due = fail(owed, error("retry"), blankHistory, 0.5, 99_500);
    expect(due).toMatchObject({ next: { at: "provisioning", fallback: on("old.net") }, delayMs: 500 });
  });

  test("with a fallback that refuses too: each has its turn on its own ladder, and the fallback is kept", () => {
    const life = new Life(provisioning(on("old.net")), () => 0.5);
    const askedAt: number[] = [];
    const knockedAt: number[] = [];
    while (life.nowMs < 24 * hour) {
      if (life.phase.at === "provisioning") {
        askedAt.push(life.nowMs);
        life.fails(error("operator", undefined, "provisioning/disabled"));
      } else {
        knockedAt.push(life.nowMs);
        life.fails(error("reprovision"));
      }
      expect(JSON.stringify(life.phase)).toContain("old.net");
    }
    expect(askedAt.length).toBeGreaterThan(15);
    expect(askedAt.length).toBeLessThan(26);
    expect(knockedAt.length).toBeGreaterThan(5);
    expect(knockedAt.length).toBeLessThan(20);
  });

  test("because a person wished to ask: the old hub serves again, and that is that", () => {
    const wished = { ...provisioning(on("old.net")), claim: "once" } as const;
    const { next } = fail(wished, error("operator"), blankHistory);
    expect(next.at === "online" && next.owedDps?.claim).toBe("until-accepted");
    const unheard = fail(wished, error("retry"), blankHistory).next;
    expect(unheard.at === "online" && unheard.owedDps?.claim).toBe("once");
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
