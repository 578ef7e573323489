import { describe, expect, test } from "vitest";
import { withSchema } from "../../src/appliers/with-schema.ts";
import type { Json } from "../../src/platform/json.ts";
import { apply, describeApplierContract } from "../contract/applier.ts";
import { FakeDevice } from "./fake-device.ts";
import { ReconcilingAgent } from "./reconciling-agent.ts";

const file = (schema: Json) => ({ path: "/etc/my-app/a.schema.json", text: JSON.stringify(schema) });

describe("an applier with a schema", () => {
  describeApplierContract(async () => {
    const device = new FakeDevice();
    return {
      create: () => withSchema(device.createApplier("a"), "a", file({ enum: [1, 2, {}] })),
      legal: [1, 2],
      // The last one is legal by the schema, but not to the applier.
      illegal: [3, "x", null, {}],
      observe: async () => device.state.get("a"),
    };
  });

  test("a bad value is rejected with what was expected, the last good one stays, and the others are applied", async () => {
    const agent = new ReconcilingAgent();
    const { device } = agent;
    const schema = file({ type: "integer", maximum: 5 });
    agent.appliers = agent.withAppliers(
      new Map([
        ["a", withSchema(device.createApplier("a"), "a", schema)],
        ["b", device.createApplier("b")],
      ]),
    );
    await agent.want({ a: 1 });
    const { results } = await agent.want({ a: 9, b: 1 });
    expect(results).toMatchObject([
      { property: "a", value: 1, outcome: { status: "rejected", problems: ["a: 9 is greater than 5"] } },
      { property: "b", value: 1, outcome: { status: "applied" } },
    ]);
    expect(device.state.get("a")).toEqual([1, 1]);
  });

  test("a changed schema judges an unchanged value again", async () => {
    const device = new FakeDevice();
    const strict = withSchema(device.createApplier("a"), "a", file({ maximum: 1 }));
    const lax = withSchema(device.createApplier("a"), "a", file({ maximum: 2 }));
    expect(strict.fingerprint).not.toBe(lax.fingerprint);
  });

  test("a schema that runs in circles with a value is a problem of that value", async () => {
    const device = new FakeDevice();
    const circle = withSchema(
      device.createApplier("a"),
      "a",
      file({ properties: { x: { $ref: "#/properties/x" } } }),
    );
    const parsed = await circle.parse({ x: 1 });
    expect(parsed).toMatchObject({ status: "rejected" });
    expect(JSON.stringify(parsed)).toContain("cannot judge it");
    expect(await apply(circle, 1)).toMatchObject({ status: "applied" });
  });
});
