import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { JsonObject } from "../../src/platform/json.ts";
import type { Fate } from "./fake-device.ts";
import { ReconcilingAgent as Agent } from "./reconciling-agent.ts";

test("whatever is wanted, fails and is killed: at the end the device is as desired, with one answer per property", async () => {
  const fate = fc.constantFrom<Fate>("works", "works", "breaks-before", "breaks-half-way", "killed");
  const value = fc.constantFrom<JsonObject[string]>(1, 2, 3, "x", {}, null);
  const step = fc.record({ a: value, b: value, fateOfA: fate, fateOfB: fate });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), fc.constantFrom(1, 2), async (steps, last) => {
      const agent = new Agent();
      for (const { a, b, fateOfA, fateOfB } of steps) {
        agent.device.fates.set("a", fateOfA).set("b", fateOfB);
        // A kill ends in an exception; the agent goes on with what it had stored by then.
        const error: unknown = await agent.want({ a, b }).catch((error: unknown) => error);
        expect(error instanceof Error ? error.message : "killed").toBe("killed");
      }
      agent.device.fates.clear();
      const { results, isComplete } = await agent.want({ a: last, b: last });
      expect(isComplete).toBe(true);
      expect(results.map(({ property, version }) => [property, version])).toEqual([
        ["a", agent.version],
        ["b", agent.version],
      ]);
      expect(agent.device.state.get("a")).toEqual([last, last]);
      expect(agent.device.state.get("b")).toEqual([last, last]);
    }),
    { numRuns: 1_000 },
  );
});
