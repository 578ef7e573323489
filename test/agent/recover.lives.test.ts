import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { afterAccepted, afterAssigned, blankHistory } from "../../src/agent/history.ts";
import type { Phase } from "../../src/agent/phase.ts";
import type { Decision } from "../../src/agent/recover.ts";
import type { AgentError, Remedy } from "../../src/platform/failure.ts";
import { error, fail, minute, on, online, provisioning } from "./decisions.ts";

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
