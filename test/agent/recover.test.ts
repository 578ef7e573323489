import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  afterAccepted,
  afterAssigned,
  afterFailure,
  afterSession,
  blankHistory,
  type History,
} from "../../src/agent/history.ts";
import type { Phase } from "../../src/agent/phase.ts";
import { recover, type Decision } from "../../src/agent/recover.ts";
import type { Identity } from "../../src/identity/identity.ts";
import { AgentError, type Remedy } from "../../src/platform/failure.ts";
import { fingerprint, type Assignment } from "../../src/provisioning/assignment.ts";

const minute = 60_000;
const refusalRetryMs = 30_000;
const identity: Identity = {
  registrationId: "gw-1",
  attestation: "symmetric-key",
  credentialDigest: "ab".repeat(32),
  custody: "file /etc/key",
  warnings: [],
};

function on(hub: string): Assignment {
  return { hub, deviceId: "gw-1", assignedAtMs: 1, madeFrom: fingerprint("0ne1", "dps.net", identity) };
}

function online(more: Partial<Extract<Phase, { at: "online" }>> = {}): Extract<Phase, { at: "online" }> {
  return { at: "online", identity, assignment: on("hub.net"), ...more };
}

function provisioning(fallback?: Assignment): Extract<Phase, { at: "provisioning" }> {
  return { at: "provisioning", identity, because: "test", ...(fallback === undefined ? {} : { fallback }) };
}

function error(remedy: Remedy, retryAfterMs?: number): AgentError {
  return new AgentError("room/fact", remedy, "…", retryAfterMs === undefined ? {} : { retryAfterMs });
}

/** What a step that failed leads to, the failure counted first as the journey does. */
function fail(
  phase: Phase,
  failure: AgentError,
  history: History,
  draw = 0.5,
  nowMs = 0,
): Decision & { readonly history: History } {
  const counted = afterFailure(history, phase.at, failure);
  return {
    ...recover(phase, failure, counted, { nowMs, refusalRetryMs, random: () => draw }),
    history: counted,
  };
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

describe("whatever happens", () => {
  const remedies = fc.constantFrom<Remedy>("retry", "operator", "reprovision");
  const wishes = fc.option(fc.integer({ min: 0, max: 24 * 60 * minute }), { nil: undefined });
  const events = fc.array(
    fc.record({
      remedy: remedies,
      wish: wishes,
      works: fc.boolean(),
      draw: fc.double({ min: 0, max: 0.999, noNaN: true }),
    }),
    { maxLength: 60 },
  );

  /** Walks through a life of the agent and hands each decision to `look`. */
  function live(
    life: typeof events extends fc.Arbitrary<infer E> ? E : never,
    look: (before: Phase, failure: AgentError, decision: Decision, accepted: readonly string[]) => void,
  ): void {
    let phase: Phase = provisioning();
    let history = blankHistory;
    const accepted: string[] = [];
    for (const [index, { remedy, wish, works, draw }] of life.entries()) {
      if (phase.at === "provisioning" && works) {
        const { fallback } = phase;
        phase = online({
          assignment: on(`hub-${index}.net`),
          ...(fallback === undefined ? {} : { fallback }),
        });
        history = afterAssigned(history);
        continue;
      }
      if (phase.at === "online" && works) {
        accepted.push(phase.assignment.hub);
        history = afterAccepted(history, phase.askDpsAtMs !== undefined);
      }
      const failure = error(works && remedy === "reprovision" ? "retry" : remedy, wish);
      const decision = fail(phase, failure, history, draw);
      look(phase, failure, decision, accepted);
      ({ history } = decision);
      phase = decision.next;
    }
  }

  test("a healthy hub is not left for anything but its own refusal", () => {
    fc.assert(
      fc.property(events, (life) => {
        live(life, (before, failure, { next }) => {
          const isHeld = before.at === "online" && before.askDpsAtMs === undefined;
          expect(isHeld && failure.remedy !== "reprovision" ? next : before).toEqual(before);
        });
      }),
    );
  });

  test("nobody is asked earlier than it wished", () => {
    fc.assert(
      fc.property(events, (life) => {
        live(life, (before, failure, { next, delayMs }) => {
          const isPutOff = before.at === "provisioning" && next.at === "online";
          const floorMs = isPutOff ? next.askDpsAtMs : delayMs;
          expect(floorMs).toBeGreaterThanOrEqual(failure.retryAfterMs ?? 0);
        });
      }),
    );
  });

  test("only the first call to DPS after a hub accepted us comes without a pause", () => {
    fc.assert(
      fc.property(events, (life) => {
        let acceptedBefore = -1;
        live(life, (_, _failure, { next, delayMs }, accepted) => {
          if (delayMs > 0) return;
          expect(next.at).toBe("provisioning");
          expect(accepted.length).toBeGreaterThan(acceptedBefore);
          acceptedBefore = accepted.length;
        });
      }),
    );
  });

  test("the hub that accepted us last is always still known", () => {
    fc.assert(
      fc.property(events, (life) => {
        live(life, (_, _failure, { next }, accepted) => {
          const last = accepted.at(-1);
          expect(last === undefined || JSON.stringify(next).includes(`"${last}"`)).toBe(true);
        });
      }),
    );
  });

  test("every pause is a whole number of milliseconds that a date can hold", () => {
    fc.assert(
      fc.property(events, (life) => {
        live(life, (_, _failure, { delayMs }) => {
          expect(Number.isSafeInteger(delayMs)).toBe(true);
          expect(delayMs).toBeLessThanOrEqual(24 * 60 * minute);
        });
      }),
    );
  });
});
