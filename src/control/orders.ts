import * as v from "valibot";
import { health } from "../agent/health.ts";
import type { Json } from "../platform/json.ts";
import type { ControlledAgent } from "./controlled-agent.ts";
import { statusOf } from "./status.ts";

/** What becomes of an order: a status as in HTTP, and what follows once that has been told. */
export interface OrderResult {
  readonly status: number;
  readonly payload: Json;
  readonly afterwards?: () => void;
}

/** Who gives the order, for log and journal: `a direct method`. */
interface Order<Payload> {
  readonly payload: v.GenericSchema<unknown, Payload>;
  readonly expected: string;
  run(agent: ControlledAgent, payload: Payload, by: string): Promise<OrderResult>;
}

const nothing = v.union([v.null(), v.strictObject({})]);
const noPayload = "no payload, null or {}";

const ping: Order<unknown> = {
  payload: nothing,
  expected: noPayload,
  run: async ({ version }) => ({ status: 200, payload: { pong: true, version } }),
};

const status: Order<unknown> = {
  payload: nothing,
  expected: noPayload,
  run: async (agent) => ({ status: 200, payload: statusOf(agent) }),
};

const reprovision: Order<unknown> = {
  payload: nothing,
  expected: noPayload,
  run: async ({ tell }, _payload, by) =>
    accepted("DPS is asked now; the present hub stays the fallback", () => {
      tell({ kind: "reprovision", because: by });
    }),
};

const apply: Order<unknown> = {
  payload: nothing,
  expected: noPayload,
  run: async ({ tell }, _payload, by) =>
    accepted("the desired properties are checked and applied again", () => {
      tell({ kind: "apply-now", because: by });
    }),
};

const restart: Order<unknown> = {
  payload: nothing,
  expected: noPayload,
  run: async (agent, _payload, by) =>
    accepted("the agent ends with exit code 75, so that its supervisor starts it anew", () => {
      agent.restart(by);
    }),
};

const explain: Order<{ readonly last?: number | undefined } | null> = {
  payload: v.nullable(
    v.strictObject({
      last: v.exactOptional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(100))),
    }),
  ),
  expected: 'no payload, or {"last": 20} with a number from 1 to 100',
  run: async (agent, payload) => ({
    status: 200,
    payload: { says: health(agent.desk.health), journal: await agent.explain(payload?.last ?? 20) },
  }),
};

const orders = new Map<
  string,
  (agent: ControlledAgent, payload: unknown, by: string) => Promise<OrderResult>
>([
  ["ping", checked(ping)],
  ["status", checked(status)],
  ["reprovision", checked(reprovision)],
  ["apply", checked(apply)],
  ["restart", checked(restart)],
  ["explain", checked(explain)],
]);

/**
 * Does what somebody may ask of the running agent, from the cloud or on the device: 200 with the answer, 202 where it is done next, 400
 * for a payload that is not legal, 404 for an order that there is none.
 */
export async function giveOrder(
  name: string,
  payload: unknown,
  by: string,
  agent: ControlledAgent,
): Promise<OrderResult> {
  const order = orders.get(name);
  if (order !== undefined) return order(agent, payload, by);
  const known = [...orders.keys()];
  return {
    status: 404,
    payload: { error: `there is no method of this name; there are: ${known.join(", ")}` },
  };
}

function checked<Payload>(order: Order<Payload>) {
  return async (agent: ControlledAgent, payload: unknown, by: string): Promise<OrderResult> => {
    const parsed = v.safeParse(order.payload, payload);
    if (parsed.success) return order.run(agent, parsed.output, by);
    return { status: 400, payload: { error: `the payload is not legal: expected ${order.expected}` } };
  };
}

function accepted(says: string, afterwards: () => void): OrderResult {
  return { status: 202, payload: { accepted: true, says }, afterwards };
}
