import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Phase } from "../../src/agent/phase.ts";
import type { Decision } from "../../src/agent/recover.ts";
import type { AgentError, Remedy } from "../../src/platform/failure.ts";
import { error, Life, minute, provisioning } from "./decisions.ts";

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
    look: (
      before: Phase,
      failure: AgentError,
      decision: Decision,
      accepted: readonly string[],
      agent: Life,
    ) => void,
  ): void {
    let draw = 0;
    const agent = new Life(provisioning(), () => draw);
    const accepted: string[] = [];
    for (const [index, event] of life.entries()) {
      const { remedy, wish, works } = event;
      ({ draw } = event);
      if (agent.phase.at === "provisioning" && works) {
        agent.assigned(`hub-${index}.net`);
        continue;
      }
      if (agent.phase.at === "online" && works) {
        accepted.push(agent.phase.assignment.hub);
        agent.accepted();
      }
      const failure = error(works && remedy === "reprovision" ? "retry" : remedy, wish);
      const before = agent.phase;
      look(before, failure, agent.fails(failure), accepted, agent);
    }
  }

  test("a healthy hub is not left for anything but its own refusal", () => {
    fc.assert(
      fc.property(events, (life) => {
        live(life, (before, failure, { next }) => {
          const isHeld = before.at === "online" && before.owedDps === undefined;
          expect(isHeld && failure.remedy !== "reprovision" ? next : before).toEqual(before);
        });
      }),
    );
  });

  test("nobody is asked earlier than it wished", () => {
    fc.assert(
      fc.property(events, (life) => {
        live(life, (before, failure, { next, delayMs }, _accepted, agent) => {
          // Somebody else has his turn.
          if (
            before.at === "online" &&
            (next.at !== "online" || next.assignment.hub !== before.assignment.hub)
          )
            return;
          const isPutOff = before.at === "provisioning" && next.at === "online";
          const inMs = isPutOff ? (next.owedDps?.atMs ?? 0) - (agent.nowMs - delayMs) : delayMs;
          expect(inMs).toBeGreaterThanOrEqual(failure.retryAfterMs ?? 0);
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
          expect(delayMs).toBeLessThanOrEqual(1.2 * 24 * 60 * minute);
        });
      }),
    );
  });
});
