import { isJson, isJsonObject, ownMember, type Json } from "../platform/json.ts";
import { measureDepth, measureSize } from "../report/measure.ts";
import { findTwinProblems } from "../report/twin-rules.ts";
import type { ControlledAgent } from "./controlled-agent.ts";
import { renderMetrics } from "./metrics.ts";
import { giveOrder, type OrderResult } from "./orders.ts";
import { parseTelemetry, telemetryExpected } from "./telemetry-request.ts";

/** One request, without what is HTTP's own. */
interface Request {
  /** The variable part of the path. */
  readonly name: string;
  readonly query: URLSearchParams;
  /** Parsed JSON; null where there is no body. */
  readonly body: unknown;
}

export type Reply = OrderResult | { readonly status: number; readonly text: string };

type Handler = (request: Request, agent: ControlledAgent) => Reply | Promise<Reply>;

interface Route {
  readonly path: RegExp;
  readonly methods: Readonly<Record<string, Handler>>;
}

/** A section of its own is small: sixteen of them fit beside the agent's own part. */
const maxSectionBytes = 4 * 1024;
/** The hub takes 10 levels, of which the section's own are two. */
const maxSectionDepth = 8;
const mostPrograms = 16;

const localProgram = "a local program";
const order =
  (name: string): Handler =>
  async ({ body }, agent) =>
    giveOrder(name, body, localProgram, agent);

/** Everything there is on the socket beside `/v1/events`. */
export const routes: readonly Route[] = [
  { path: /^\/v1\/status$/, methods: { GET: order("status") } },
  { path: /^\/v1\/explain$/, methods: { GET: explain } },
  { path: /^\/v1\/health$/, methods: { GET: tellHealth } },
  { path: /^\/v1\/twin$/, methods: { GET: tellTwin } },
  {
    path: /^\/v1\/metrics$/,
    methods: { GET: (_request, agent) => ({ status: 200, text: renderMetrics(agent) }) },
  },
  { path: /^\/v1\/telemetry$/, methods: { POST: takeTelemetry } },
  {
    path: /^\/v1\/programs\/([A-Za-z0-9][A-Za-z0-9_-]{0,63})\/reported$/,
    methods: { GET: tellSection, PATCH: takeSection, DELETE: dropSection },
  },
  { path: /^\/v1\/reprovision$/, methods: { POST: order("reprovision") } },
  { path: /^\/v1\/apply$/, methods: { POST: order("apply") } },
  { path: /^\/v1\/restart$/, methods: { POST: order("restart") } },
];

function problem(status: number, error: string, problems: readonly string[] = []): Reply {
  return { status, payload: problems.length === 0 ? { error } : { error, problems } };
}

async function tellHealth(request: Request, agent: ControlledAgent): Promise<Reply> {
  const { payload } = await giveOrder("status", request.body, localProgram, agent);
  const isHealthy = agent.desk.health.at === "connected";
  const says: Json = isJsonObject(payload) ? (ownMember(payload, "says") ?? "") : "";
  return { status: isHealthy ? 200 : 503, payload: { isHealthy, says } };
}

async function explain({ query }: Request, agent: ControlledAgent): Promise<Reply> {
  const last = query.get("last");
  return giveOrder("explain", last === null ? null : { last: Number(last) }, localProgram, agent);
}

function tellTwin(_request: Request, { desk }: ControlledAgent): Reply {
  if (desk.twin === undefined)
    return problem(503, "the twin is not known yet: the agent has not been connected since its start");
  const { desired, reported } = desk.twin;
  return {
    status: 200,
    payload: { desired: { version: desired.version, properties: desired.properties }, reported },
  };
}

function takeTelemetry({ body }: Request, { desk }: ControlledAgent): Reply {
  const message = parseTelemetry(body);
  if (message === undefined) return problem(400, `expected ${telemetryExpected}`);
  const dropped = desk.outbox.put(message);
  return { status: 202, payload: { waiting: desk.outbox.waiting, dropped } };
}

function tellSection({ name }: Request, { desk }: ControlledAgent): Reply {
  const section = ownMember(sectionsOf(desk), name);
  if (section === undefined) return problem(404, "the hub knows nothing of this program");
  return { status: 200, payload: section };
}

function takeSection({ name, body }: Request, { desk }: ControlledAgent): Reply {
  if (!isJson(body) || !isJsonObject(body))
    return problem(400, "expected a JSON object: a merge patch of the program's section");
  const problems = findTwinProblems(body, name);
  if (problems.length > 0) return problem(400, "the hub would refuse this", problems);
  const sections = desk.programs.expected(desk.twin?.reported ?? {}, name, body);
  const section = ownMember(sections, name) ?? {};
  if (measureSize(section) > maxSectionBytes || measureDepth(section) > maxSectionDepth)
    return problem(413, "expected a section of at most 4 KiB and 8 levels of objects, this patch included");
  if (Object.keys(sections).length > mostPrograms)
    return problem(409, `${mostPrograms} programs report already; delete the section of one`);
  return taken(desk.programs.put(name, body));
}

function dropSection({ name }: Request, { desk }: ControlledAgent): Reply {
  return taken(desk.programs.put(name, null));
}

function taken(isTaken: boolean): Reply {
  if (!isTaken)
    return problem(503, "too much waits to be reported: the device is not connected, or the hub is busy");
  return { status: 202, payload: { accepted: true, says: "reported when the hub listens" } };
}

function sectionsOf(desk: ControlledAgent["desk"]) {
  const sections = ownMember(desk.twin?.reported ?? {}, "programs");
  return isJsonObject(sections) ? sections : {};
}
